"""The provisioner's pseudonymisation domains: opened at the first pseudonym, rotated, erased, retired.

Operations (`ipc`), for `ringfort domain` while the deployment is up:

    domain-rotate  {recipient, purpose, principal, password, grant, by, reason}   -> {epoch, dropped}
    domain-erase   the same and {epoch}                                          -> {epochs, dropped}

Both need an approved request of their kind; who acts is proven here (`irreversible`). Epoch 0 is all that are
left. `dropped` is false if a database could not be reached: what the epoch left there goes when it can be.

A rotation first makes and fills the mapping tables of the new epoch, then puts it into force; an erasure is
on record before the secret is destroyed. Whoever wrote the entry (a command while this process was away, or
another one), what it ends is dropped here: profiles, mapping tables, keys in memory. Sessions stand on the
domain's state key, so the workers cut them off as soon as they hear of the entry. Invariant: nothing is
served in an epoch that is not in force; what is made for one while it ends is dropped again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import psycopg

from ringfort.errors import CheckFailedError, RingfortError, UsageError
from ringfort.gateway.irreversible import ERASE, ROTATE
from ringfort.ledger.domains import domain_key, domain_of
from ringfort.ledger.folds import Condition
from ringfort.policy.forms import Form
from ringfort.policy.settings import Purposes
from ringfort.privacy.pseudonym import Domain
from ringfort.sites.domains import to_erase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from ringfort.gateway.irreversible import LeaveDesk
    from ringfort.gateway.provisioner_decision import ControlView, Decision
    from ringfort.gateway.provisioner_served import Served
    from ringfort.ledger.entry import Entry
    from ringfort.ledger.folds import ControlState
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.sites.domains import DomainStore, Leave

    Append = Callable[[Sequence[Entry], Condition, tuple[bytes, ...]], Awaitable[bool]]
    Thread = Callable[..., Awaitable[Any]]

LOG = logging.getLogger(__name__)
ATTEMPTS = 3
RETRY_SECONDS = 5.0
MAX_TEXT = 1000


class ChangedError(CheckFailedError):
    """Somebody else changed the domain at the same time."""

    default_sqlstate = "40001"  # serialization_failure


class Domains:
    """The domains, for one provisioner. `append` and `thread` are its own."""

    def __init__(  # noqa: PLR0917 - what the provisioner lends
        self,
        store: DomainStore,
        control: ControlView,
        databases: Mapping[str, Served],
        append: Append,
        thread: Thread,
        leaves: LeaveDesk,
        *,
        purposes: Callable[[], Purposes] = Purposes,
    ) -> None:
        self._leaves = leaves
        self._purposes = purposes
        self.store = store
        self._control = control
        self._databases = databases
        self._append = append
        self._thread = thread
        self._changed = asyncio.Event()
        self._retiring = asyncio.Lock()
        self._ahead: set[str] = set()

    @property
    def state(self) -> ControlState:
        """The control log folded."""
        return self._control.state

    def usable(self, domain: Domain, kept_key: str) -> bool:
        """Whether pseudonyms may be served in this epoch under the key of this id."""
        if not self.usable_purpose(domain.purpose):
            return False  # retired
        if domain.id in self._ahead:
            return True
        known = domain_of(self.state, domain.recipient, domain.purpose)
        epoch = None if known is None else known.in_force
        return epoch is not None and (epoch.id, epoch.key_id) == (domain.id, kept_key)

    def usable_purpose(self, purpose: str) -> bool:
        """Whether the policy in force lists a purpose; domains of others are retired."""
        return self._purposes().holds(purpose)

    def secret(self, domain: Domain) -> EpochSecret:
        """The secret of an epoch that is on record, or that a rotation is about to put there."""
        if domain.id in self._ahead:
            return self.store.coming_secret(domain)
        return self.store.secret(domain, self.state)

    # -- serving -------------------------------------------------------------------------------------

    async def of(self, decision: Decision, *, opening: bool = True) -> tuple[Domain, str]:
        """The domain of a decision and its key's id; no epoch is opened for one that shows no pseudonym.

        Without `opening` none is opened at all: a domain without one in force has no key.
        """
        recipient, purpose = decision.request.principal.employer, decision.request.purpose
        if Form.PSEUDONYM not in decision.disclosure.forms().values():
            return Domain(recipient, purpose), ""
        known = domain_of(self.state, recipient, purpose)
        if not opening and (known is None or known.in_force is None):
            return Domain(recipient, purpose), ""
        return await self.in_force(recipient, purpose)

    async def in_force(self, recipient: str, purpose: str) -> tuple[Domain, str]:
        """The epoch in force, which is opened if there is none; its secret is there and the right one."""
        self._require_listed(purpose)
        for _ in range(ATTEMPTS):
            state = self.state
            known = domain_of(state, recipient, purpose)
            epoch = None if known is None else known.in_force
            if epoch is not None:
                domain = self.store.current(recipient, purpose, state)
                await self._thread(self.store.secret, domain, state)
                return domain, epoch.key_id
            since = state.size
            domain = self.store.next_epoch(recipient, purpose, state)
            entry = await self._thread(self.store.opened, domain)
            await self._append([entry], Condition((domain_key(recipient, purpose),), since), ())
        raise _changed()

    def _require_listed(self, purpose: str) -> None:
        if not self._purposes().holds(purpose):
            raise CheckFailedError(
                "the pseudonymisation domain is retired: the policy in force does not list its purpose",
                hint="list it under [purposes] in policy/policy.toml and run `ringfort policy apply`",
            )

    def policy_changed(self) -> None:
        """Another policy is in force: domains of purposes that it does not list are dropped soon."""
        self._changed.set()

    # -- what entries end ----------------------------------------------------------------------------

    def heard(self, index: int) -> None:
        """An entry was folded; what it ends is dropped soon."""
        for key, at in reversed(self.state.changed.items()):  # those of one entry stand last
            if at != index:
                break
            if key.startswith("domain:"):
                self._changed.set()

    async def follow(self) -> None:
        """Drop what entries end, for as long as the provisioner runs; a failure is tried again."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.retire()
            except (RingfortError, psycopg.Error) as error:
                LOG.warning(
                    "what an epoch left behind is not dropped yet: %s", error,
                    extra={"event": "domain-cleaning-failed"},
                )  # fmt: skip
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def retire(self) -> bool:
        """Destroy what is erased on record, and drop profiles and mapping tables of epochs not in force.

        False if not all databases are ready; those follow when they are prepared again.
        """
        async with self._retiring:
            await self._thread(self.settle)
            ready = [each for each in self._databases.values() if each.ready]
            for served in ready:
                await self._thread(served.retire, self.usable)
            return len(ready) == len(self._databases)

    async def _dropped(self) -> bool:
        """`retire` after an act that is done whatever becomes of this; `follow` tries again what failed."""
        try:
            return await self.retire()
        except RingfortError:
            return False

    def settle(self) -> None:
        """Destroy the secrets of epochs that are erased on record."""
        self.store.settle(self.state)

    # -- asked by commands ---------------------------------------------------------------------------

    async def asked(self, op: str, fields: dict[str, Any]) -> dict[str, Any]:
        """`domain-rotate` or `domain-erase`."""
        kind = ROTATE if op == "domain-rotate" else ERASE
        recipient, purpose = (_text(fields, each) for each in ("recipient", "purpose"))
        leave = await self._leaves.asked(kind, fields)
        if kind == ROTATE:
            return await self._rotate(recipient, purpose, leave)
        return await self._erase(recipient, purpose, int(fields.get("epoch", 0)), leave)

    async def _rotate(self, recipient: str, purpose: str, leave: Leave) -> dict[str, Any]:
        self._require_listed(purpose)
        state = self.state
        before = self.store.current(recipient, purpose, state)
        domain = self.store.next_epoch(recipient, purpose, state)
        entry = await self._thread(self.store.rotated, domain, leave)
        self._ahead.add(domain.id)
        try:
            for served in self._databases.values():
                if served.ready:
                    await self._thread(served.fill_ahead, before, domain, entry.key_id)
            condition = leave.condition(domain_key(recipient, purpose))
            if not await self._append([entry], condition, (leave.input,)):
                raise _changed()
        finally:
            self._ahead.discard(domain.id)
        return {"epoch": domain.epoch, "dropped": await self._dropped()}

    async def _erase(self, recipient: str, purpose: str, epoch: int, leave: Leave) -> dict[str, Any]:
        known, epochs = to_erase(self.state, recipient, purpose, epoch)
        entries = self.store.erasures(known, epochs, leave)
        condition = leave.condition(domain_key(recipient, purpose))
        if not await self._append(entries, condition, (leave.input,)):
            raise _changed()
        return {"epochs": [each.number for each in epochs], "dropped": await self._dropped()}


def _changed() -> ChangedError:
    return ChangedError(
        "the pseudonymisation domain, or what the act stands on, was changed at the same time",
        hint="look, and try again",
    )


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise UsageError(f"`{name}` must be a text of at most {MAX_TEXT} characters")
    return value


__all__ = ["ChangedError", "Domains"]
