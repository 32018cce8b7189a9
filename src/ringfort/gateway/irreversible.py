"""Leave to do what cannot be undone: erasing, rotating, rewrapping keys, canaries, dropping evidence.

An act is asked for (`granting.Desk.request_act`), approved by somebody else like any grant, and done by the
one who asked, who proves who they are again. `leave_for` decides whether it may be done now: the grant is of
that kind, for that principal, domain and epoch, in force; the policy in force permits the act itself. The
answer carries what it stands on, and the entry is appended on condition that nothing of it has changed
(`sites.domains.Leave`).

There is no way round by emergency: nothing in an emergency needs one of these acts. Whoever has lost their
approvers registers another principal who may approve, which is on record, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.gateway.clock_watch import require_clock
from ringfort.gateway.granting import NotPermittedError, own_act, proven
from ringfort.ledger.domains import names
from ringfort.ledger.entry import format_time
from ringfort.ledger.grants import ACTIVE, REQUESTED
from ringfort.policy.grants import decide_grant, grant_input
from ringfort.privacy.stated_text import stated
from ringfort.sites.domains import Leave
from ringfort.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ringfort.catalog.model import Catalogue
    from ringfort.gateway.provisioner_decision import ControlView, Decider
    from ringfort.gateway.provisioner_domains import Thread
    from ringfort.gateway.provisioner_settings import ProvisionerSettings
    from ringfort.ledger.folds import ControlState
    from ringfort.ledger.grants import Grant
    from ringfort.policy.bundle import CompiledBundle

NOBODY_LEFT = (
    "if nobody is left who may, an operator registers somebody: "
    "`ringfort principal add DIR NAME --role approver`"
)
ERASE, ROTATE, REWRAP, CANARY = "erase", "rotate", "rewrap", "canary"
DROP_EVIDENCE = "drop-evidence"
_WORDS = ("principal", "grant", "by", "reason", "recipient", "purpose")


@dataclass(frozen=True)
class Act:
    """What is to be done, by whom, on which approved request. `by` is the operating system's user."""

    kind: str
    principal: str
    grant: str
    by: str
    reason: str
    recipient: str = ""
    purpose: str = ""
    epoch: int = 0
    before: str = ""


def leave_for(  # noqa: PLR0917 - what a decision is made of
    state: ControlState,
    bundle: CompiledBundle,
    catalogue: Catalogue,
    region: Iterable[str],
    act: Act,
    now: datetime,
) -> Leave:
    """Leave for one act, on one state of the control log; raises `NotPermittedError`, `UsageError`."""
    require_clock(state, now)
    reason = stated(act.reason)
    grant = _grant(state, act, now)
    request = own_act(state, act.kind, grant, format_time(now))
    decision = decide_grant(bundle, catalogue, region, request)
    if not decision.permitted:
        raise NotPermittedError(
            f"policy does not permit `{act.principal}` to {act.kind}: {decision.reason}",
            hint="policy/grants.cedar says who may",
        )
    given = grant_input(bundle, catalogue, region, request)
    keys = ("policy", "catalogue", f"principal:{act.principal}", f"grant:{grant.id}")
    return Leave(act.principal, grant.id, given, keys, state.size, act.by, reason)


def _grant(state: ControlState, act: Act, now: datetime) -> Grant:
    grant = state.grants.get(act.grant)
    ask = (
        f"ask for one with `ringfort request DIR --as {act.principal} --{act.kind} ...`, and have it approved"
    )
    if grant is None or (grant.principal, grant.kind) != (act.principal, act.kind):
        raise NotPermittedError(f"`{act.principal}` has no such grant to {act.kind}", hint=ask)
    if names(grant.recipient, grant.purpose) != names(act.recipient, act.purpose):
        raise NotPermittedError(f"`{grant.id}` is for another pseudonymisation domain", hint=ask)
    if grant.epoch and grant.epoch != act.epoch:
        raise NotPermittedError(
            f"`{grant.id}` is for epoch {grant.epoch} alone", hint=f"name it with --epoch {grant.epoch}"
        )
    if grant.before != act.before:
        raise NotPermittedError(
            f"`{grant.id}` is for evidence before {grant.before[:7]}",
            hint=f"name that month with --before {grant.before[:7]}, or {ask}",
        )
    status = grant.status(now)
    if status == REQUESTED:
        raise NotPermittedError(
            f"`{grant.id}` waits for its approval",
            hint=f"somebody else who may runs `ringfort approve DIR {grant.id} --as NAME`; {NOBODY_LEFT}",
        )
    if status != ACTIVE:
        raise NotPermittedError(f"`{grant.id}` is {status}, not in force", hint=ask)
    return grant


class LeaveDesk:
    """Leave for acts that commands ask of the provisioner; everything but the settings is its own."""

    def __init__(
        self, settings: ProvisionerSettings, control: ControlView, decider: Decider, thread: Thread
    ) -> None:
        self._settings = settings
        self._control = control
        self._decider = decider
        self._thread = thread
        self._clock = SystemClock()

    async def asked(self, kind: str, fields: dict[str, Any]) -> Leave:
        """Leave for an act on a domain, for whoever proves to be its principal."""
        for name in (*_WORDS, "password"):
            if not isinstance(fields.get(name), str):
                raise UsageError(f"`{name}` must be a text")
        epoch = fields.get("epoch", 0)
        if type(epoch) is not int or epoch < 0:
            raise UsageError("`epoch` must be a whole number")
        words = {
            name: fields[name] for name in ("principal", "grant", "by", "reason", "recipient", "purpose")
        }
        act = Act(kind, **words, epoch=epoch)
        secrets_folder = self._settings.verifiers.parent
        await self._thread(proven, secrets_folder, self._control.state, act.principal, fields["password"])
        leave: Leave = await self._thread(self._leave, act)
        return leave

    def _leave(self, act: Act) -> Leave:
        ground = self._control.ground(act.principal)
        return leave_for(
            self._control.state,
            self._decider.bundle(ground),
            self._decider.catalogue(ground.catalogue),
            self._settings.region,
            act,
            self._clock.now(),
        )


__all__ = [
    "CANARY",
    "DROP_EVIDENCE",
    "ERASE",
    "NOBODY_LEFT",
    "REWRAP",
    "ROTATE",
    "Act",
    "LeaveDesk",
    "leave_for",
]
