"""Acts on grants: ask, approve, deny, revoke, break the glass, review.

Policy and catalogue are those that the control log names, never the files of a folder. Every append demands
that nothing of what was read has changed since: the policy, the catalogue, the grant, and everybody whom the
decision looks at (who acts, whom it is for, who has approved already, and who manages them). What
an approval was decided on is kept as a blob with the entry, so that it can be decided again. Who the actor
is has been proven before (`proven`): here it is a name.

Left out: telling the approvers; somebody has to.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ringfort.catalog.model import Catalogue
from ringfort.errors import CheckFailedError, UsageError
from ringfort.gateway.verifiers import PRINCIPAL_NAME, decode_verifier
from ringfort.ledger.domains import domain_of
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_acts import ActRequested, DropRequested
from ringfort.ledger.entry_control_grants import (
    BreakGlassOpened,
    BreakGlassOpenedWithEffects,
    BreakGlassReviewed,
    GrantApproved,
    GrantDenied,
    GrantRequested,
    GrantRequestedWithEffects,
    GrantRevoked,
)
from ringfort.ledger.folds import Condition
from ringfort.ledger.grants import OUTCOMES, UNDOING, Grant
from ringfort.pgwire.scram import build_verifier
from ringfort.policy.bundle import PolicyBundle
from ringfort.policy.canonical import digest_of
from ringfort.policy.grant_rules import duration_text
from ringfort.policy.grants import (
    APPROVE,
    BREAK_GLASS,
    ActRequest,
    GrantFacts,
    covered,
    decide_grant,
    grant_input,
    protections,
)
from ringfort.policy.people import managers_above, people_keys, registered
from ringfort.privacy.stated_text import stated
from ringfort.private_files import read_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ringfort.ledger.entry import Entry
    from ringfort.ledger.folds import ControlState
    from ringfort.record.client import SyncLedger

WRONG_SECONDS = 1.0
_Entry = TypeVar("_Entry", GrantRequested, BreakGlassOpened)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,127}")


class NotPermittedError(CheckFailedError):
    """Policy or the state of the grant does not permit the act."""

    default_sqlstate = "42501"  # insufficient_privilege


def proven(
    secrets_folder: Path, state: ControlState, name: str, password: str, wrong_seconds: float = WRONG_SECONDS
) -> str:
    """`name`, if it is registered and this is its password; raises `NotPermittedError`, a little later."""
    path = secrets_folder / "scram" / f"{name}.json"
    if name in state.principals and PRINCIPAL_NAME.fullmatch(name) and path.exists():
        known = decode_verifier(read_private(path), path)
        made = build_verifier(password, known.salt, known.iterations)
        if hmac.compare_digest(made.stored_key, known.stored_key):
            return name
    time.sleep(wrong_seconds)
    raise NotPermittedError(
        f"that is not the password of `{name}`, or nobody is registered as that",
        hint="`ringfort principal list` shows who is; `ringfort principal password` gives another password",
        sqlstate="28P01",
    )


class Desk:
    """Where one act is taken: an open ledger, and the policy and catalogue in force when it was made."""

    def __init__(
        self,
        ledger: SyncLedger,
        region: Iterable[str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._region = frozenset(region)
        self._now = now
        self._since = ledger.state.size
        state = ledger.state
        if not state.policy or not state.catalogue:
            raise UsageError(
                "no policy or no catalogue is in force", hint="run `ringfort policy apply`, or `ringfort up`"
            )
        self.policy = PolicyBundle.from_bytes(ledger.get_blob(state.policy)).compile()
        self.catalogue = Catalogue.from_json(ledger.get_blob(state.catalogue))
        if self.policy.evaluator != state.evaluator:
            raise UsageError(
                "the policy in force was activated for another evaluator", hint="run `ringfort policy apply`"
            )

    @property
    def state(self) -> ControlState:
        """The control log folded."""
        return self._ledger.state

    # -- acts --------------------------------------------------------------------------------------

    def request(self, who: str, facts: GrantFacts, reason: str) -> Grant:
        """Ask for a grant; `facts.id` is made here."""
        facts = self._spelled(facts)
        reason = self._checked(facts, reason, facts.kind)
        name = _fresh(self.state)
        entry = _with_effects(GrantRequested, GrantRequestedWithEffects, facts.effects)(
            **self._basic(),
            grant=name,
            principal=who,
            purpose=facts.purpose,
            ticket=facts.ticket,
            tables=tuple(sorted(set(facts.tables))),
            kind=facts.kind,
            seconds=facts.seconds,
            reason=reason,
            approvals=self._needed(facts.kind, facts.tables),
            open_seconds=self.policy.grant_rules.within["approval"],
        )
        return self._append(entry, name, who)

    def request_act(self, who: str, facts: GrantFacts, reason: str) -> Grant:
        """Ask for leave to do something that cannot be undone (`irreversible`); `facts.id` is made here."""
        ticket, reason = stated(facts.ticket, "ticket"), stated(reason)
        self._within_longest(facts.seconds, facts.kind)
        domain = (facts.recipient, facts.purpose)
        if all(domain) != (facts.kind in {"erase", "rotate"}) or any(domain) != all(domain):
            raise UsageError(
                "erasing and rotating are about one domain, and nothing else is",
                hint="name it with --recipient and --purpose; `ringfort domain list` shows which there are",
            )
        known = domain_of(self.state, *domain)
        gone = known is None or (facts.epoch and known.epoch(facts.epoch) is None)
        if (all(domain) and gone) or (facts.epoch and facts.kind != "erase"):
            raise UsageError(
                "there is no such pseudonymisation domain or epoch",
                hint="`ringfort domain list` shows what there is; only erasing is about an epoch",
            )
        name = _fresh(self.state)
        if bool(facts.before) != (facts.kind == "drop-evidence"):
            raise UsageError(
                "dropping evidence is about the months before one, and nothing else is",
                hint="name the first month that is kept with --before, such as 2026-05",
            )
        ask = partial(DropRequested, before=facts.before) if facts.before else ActRequested
        entry = ask(
            **self._basic(),
            grant=name,
            principal=who,
            kind=facts.kind,
            recipient=facts.recipient,
            purpose=facts.purpose,
            epoch=facts.epoch,
            ticket=ticket,
            seconds=facts.seconds,
            reason=reason,
            approvals=self._needed(facts.kind, ()),
            open_seconds=self.policy.grant_rules.within["approval"],
        )
        return self._append(entry, name, who)

    def may_approve(self, grant: str) -> list[str]:
        """Who of those who are registered may approve a request now, by policy."""
        known = self.known(grant)
        found = []
        for name in sorted(self.state.principals):
            if name != known.principal and name not in known.approvers:
                with contextlib.suppress(NotPermittedError):
                    self._permitted(APPROVE, name, known)
                    found.append(name)
        return found

    def approve(self, who: str, grant: str) -> Grant:
        """Approve a request; the last approval that is needed puts it into force."""
        known = self._waiting(grant)
        if who in known.approvers:
            raise NotPermittedError(f"`{who}` has approved `{grant}` already", hint="somebody else is needed")
        if self._needed(known.kind, known.tables) > known.needed:
            raise NotPermittedError(
                f"`{grant}` was asked for when it needed fewer approvals than it would now",
                hint="deny it, and have it asked for again",
            )
        blob = self._permitted(APPROVE, who, known)
        entry = GrantApproved(**self._basic(), grant=grant, approver=who, input=digest_of(blob))
        return self._append(entry, grant, who, known.principal, *known.approvers, blobs=(blob,))

    def deny(self, who: str, grant: str, reason: str) -> Grant:
        """Say no to a request, for good."""
        known = self._waiting(grant)
        reason = stated(reason)
        blob = self._permitted(APPROVE, who, known)
        entry = GrantDenied(**self._basic(), grant=grant, approver=who, reason=reason, input=digest_of(blob))
        return self._append(entry, grant, who, known.principal, *known.approvers, blobs=(blob,))

    def revoke(self, who: str, grant: str, reason: str) -> Grant:
        """End a grant or withdraw a request: for whom it is, and for whoever may approve it."""
        known = self.known(grant)
        reason = stated(reason)
        status = known.status(self._now())
        if status not in {"requested", "active"}:
            raise UsageError(
                f"`{grant}` is {status} already", hint="`ringfort grants` lists what is in force"
            )
        if who != known.principal and who not in known.approvers:
            self._permitted(APPROVE, who, known)
        entry = GrantRevoked(**self._basic(), grant=grant, principal=who, reason=reason)
        return self._append(entry, grant, who, known.principal, *known.approvers)

    def break_glass(self, who: str, facts: GrantFacts, reason: str) -> Grant:
        """Take a grant without asking: in force at once, to be reviewed by somebody else."""
        facts = self._spelled(facts)
        if facts.kind in UNDOING:
            raise UsageError("nobody undoes pseudonyms without an approval", hint="run `ringfort request`")
        reason = self._checked(facts, reason, "break_glass")
        if not reason:
            raise UsageError("breaking the glass needs a reason", hint="say why with --reason")
        now = self._now()
        overdue = [
            each.id for each in self.state.grants.values() if each.principal == who and each.overdue(now)
        ]
        if overdue:
            raise NotPermittedError(
                f"`{overdue[0]}` of `{who}` is not reviewed and past its deadline",
                hint=f"somebody else has to run `ringfort review DIR {overdue[0]}` first",
            )
        name = _fresh(self.state)
        tables = tuple(sorted(set(facts.tables)))
        asked = replace(facts, id=name, tables=tables)
        blob = self._decided(BREAK_GLASS, who, who, asked, 0, 0)
        entry = _with_effects(BreakGlassOpened, BreakGlassOpenedWithEffects, facts.effects)(
            **self._basic(),
            grant=name,
            principal=who,
            purpose=asked.purpose,
            ticket=asked.ticket,
            tables=asked.tables,
            kind=asked.kind,
            seconds=asked.seconds,
            reason=reason,
            review_seconds=self.policy.grant_rules.within["review"],
            input=digest_of(blob),
        )
        return self._append(entry, name, who, blobs=(blob,))

    def review(self, who: str, grant: str, outcome: str, reason: str) -> Grant:
        """Judge a broken glass; `unjustified` ends it if it is still in force."""
        known = self.known(grant)
        reason = stated(reason)
        if outcome not in OUTCOMES:
            raise UsageError(f"`{outcome}` is no outcome", hint="one of " + ", ".join(OUTCOMES))
        if not known.break_glass or known.outcome:
            raise UsageError(
                f"`{grant}` waits for no review", hint="`ringfort grants` lists the open reviews"
            )
        blob = self._permitted(APPROVE, who, known)
        entry = BreakGlassReviewed(
            **self._basic(),
            grant=grant,
            reviewer=who,
            outcome=outcome,
            reason=reason,
            input=digest_of(blob),
        )
        return self._append(entry, grant, who, known.principal, *known.approvers, blobs=(blob,))

    # -- what acts are made of ---------------------------------------------------------------------

    def known(self, grant: str) -> Grant:
        """The grant of this id; raises `UsageError`."""
        found = self.state.grants.get(grant)
        if found is None:
            raise UsageError(f"there is no grant `{grant}`", hint="`ringfort grants` lists them")
        return found

    def _waiting(self, grant: str) -> Grant:
        known = self.known(grant)
        status = known.status(self._now())
        if status != "requested":
            raise UsageError(
                f"`{grant}` is {status}, it waits for no approval", hint="`ringfort grants` lists what waits"
            )
        if self._now() < known.last:
            raise UsageError(
                f"`{grant}` was written when the clock was ahead of what it says now",
                hint="look at the machine's clock; revoke it, and have it asked for again",
            )
        return known

    def _spelled(self, facts: GrantFacts) -> GrantFacts:
        """The same with the purpose as the policy in force spells it, which must list it."""
        purposes = self.policy.settings.purposes
        purpose = purposes.admitted(facts.purpose)
        if purpose is None:
            message, hint = purposes.fault(facts.purpose) or ("the purpose is not listed", "")
            raise UsageError(message, hint=hint)
        return replace(facts, purpose=purpose)

    def _checked(self, facts: GrantFacts, reason: str, longest: str) -> str:
        """The reason as it is recorded, if what is asked for can be."""
        for what, value in (("purpose", facts.purpose), ("ticket", facts.ticket)):
            if not _LABEL.fullmatch(value) and (value or what == "purpose"):
                raise UsageError(
                    f"the {what} is not valid", hint="use letters, digits and . _ : / # -, at most 128"
                )
            stated(value, what)
        if not facts.tables:
            raise UsageError("no table is named", hint="name each with --table dataset.table")
        covered(self.catalogue, facts.tables)
        self._within_longest(facts.seconds, longest)
        return stated(reason)

    def _within_longest(self, seconds: int, longest: str) -> None:
        most = self.policy.grant_rules.longest[longest]
        if not 0 < seconds <= most:
            raise UsageError(
                f"a grant like this lasts at most {duration_text(most)}",
                hint="see [longest] in policy/grants.toml",
            )

    def _needed(self, kind: str, tables: Iterable[str]) -> int:
        """How many approvals the rules in force ask for."""
        strictest = protections(covered(self.catalogue, tables))[0]
        return self.policy.grant_rules.approvals[kind][strictest]

    def _permitted(self, action: str, who: str, grant: Grant) -> bytes:
        if who == grant.principal:
            raise NotPermittedError(
                f"`{grant.id}` is for `{who}`: nobody decides on their own grant", hint="ask somebody else"
            )
        return self._decided(
            action, who, grant.principal, facts_of(grant), len(grant.approvers), grant.needed
        )

    def _decided(  # noqa: PLR0917 - the parts of one input
        self, action: str, who: str, requester: str, facts: GrantFacts, approvals: int, needed: int
    ) -> bytes:
        """The decision's input, if policy permits the act."""
        request = ActRequest(
            action=action,
            actor=registered(self.state, who),
            actor_managers=managers_above(self.state, who),
            requester=registered(self.state, requester),
            requester_managers=managers_above(self.state, requester),
            grant=facts,
            approvals=approvals,
            needed=needed,
            time=format_time(self._now()),
        )
        decision = decide_grant(self.policy, self.catalogue, self._region, request)
        if not decision.permitted:
            raise NotPermittedError(
                f"policy does not permit `{who}` to {action}: {decision.reason}",
                hint="policy/grants.cedar says who may",
            )
        return grant_input(self.policy, self.catalogue, self._region, request)

    def _basic(self) -> dict[str, str]:
        return {"time": format_time(self._now()), "actor": "command"}

    def _append(self, entry: Entry, grant: str, *people: str, blobs: tuple[bytes, ...] = ()) -> Grant:
        keys = ("policy", "catalogue", f"grant:{grant}", f"review:{grant}", *people_keys(self.state, people))
        self._ledger.append([entry], condition=Condition(keys, self._since), blobs=blobs)
        return self.state.grants[grant]


def facts_of(grant: Grant) -> GrantFacts:
    """What policy is asked about of a grant."""
    return GrantFacts(
        grant.id,
        grant.kind,
        grant.purpose,
        grant.ticket,
        grant.tables,
        grant.seconds,
        grant.effects,
        grant.recipient,
        grant.epoch,
        grant.before,
    )


def own_act(state: ControlState, action: str, grant: Grant, time: str) -> ActRequest:
    """What policy is asked when whoever holds a grant does what it is for."""
    actor = registered(state, grant.principal)
    managers = managers_above(state, grant.principal)
    return ActRequest(
        action=action,
        actor=actor,
        actor_managers=managers,
        requester=actor,
        requester_managers=managers,
        grant=facts_of(grant),
        approvals=len(grant.approvers),
        needed=grant.needed,
        time=time,
    )


def _with_effects(
    plain: Callable[..., _Entry], named: Callable[..., _Entry], effects: tuple[str, ...]
) -> Callable[..., _Entry]:
    """The entry type that says what may be set off, if anything may: others stay as they were."""
    return partial(named, effects=tuple(sorted(set(effects)))) if effects else plain


def _fresh(state: ControlState) -> str:
    while True:
        name = f"g-{secrets.token_hex(4)}"
        if name not in state.grants:
            return name


__all__ = ["Desk", "NotPermittedError", "facts_of", "own_act", "proven"]
