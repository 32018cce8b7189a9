"""Pseudonymisation domains of a deployment: which epoch is in force, and the secret of each epoch.

The ledger says which epochs there are; custody holds, wrapped, the root secret and one random value for each
epoch that is not erased (`secrets/domains/ID.key`). Order of things, so that a crash between two of them is
mended by the next run: a random value is durable before its epoch is on record (`prepare`, then the entry),
and an erasure is on record before the random value is destroyed (`settle` finishes one that was cut off). The
file of an epoch is made exclusively, so that two processes which open one domain at once open the same one.

Invariants: a secret derives as the record says that its epoch does, and is checked against the key id on
record before it is given out; the secret of an erased epoch is not given out even while its file is still
there. New epochs have the newest derivation. Epoch 1 of a deployment from before epochs had
secrets of their own derives from the root alone: it is never used again, the domain goes on with epoch 2.
Left out: recording for processes with an event loop (`gateway.provisioner_domains`), and mapping tables.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from ringfort.derivations import DERIVATIONS
from ringfort.errors import CheckFailedError, UsageError
from ringfort.ledger.domains import ERASED, domain_key, domain_of, names
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_acts import DomainErasedBy, DomainRotatedDeriving
from ringfort.ledger.entry_control_domains import DomainOpenedDeriving
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition
from ringfort.paths import private_folder
from ringfort.privacy.domain_secrets import SALT_BYTES, domain_secret, fingerprint_key
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret, key_id
from ringfort.privacy.pseudonym import Domain
from ringfort.privacy.stated_text import stated
from ringfort.sites.custody import DOMAINS, ROOT, Custody, CustodySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.config import Config
    from ringfort.ledger.domains import Epoch, PseudonymisationDomain
    from ringfort.ledger.entry import Entry
    from ringfort.ledger.folds import ControlState

ATTEMPTS = 3


@dataclass(frozen=True)
class Leave:
    """Who may do one act that cannot be undone, as was found on a state of the control log.

    `grant` is the approved request; `input` is everything that it was decided on; `keys` must not have
    changed since the control size `since`; `by` is the operating system's user.
    """

    principal: str
    grant: str
    input: bytes = field(repr=False)
    keys: tuple[str, ...]
    since: int
    by: str
    reason: str

    def fields(self) -> dict[str, str]:
        """What every entry about the act says of it."""
        return {
            "principal": self.principal,
            "grant": self.grant,
            "input": hashlib.sha256(self.input).hexdigest(),
            "by": self.by,
            "reason": stated(self.reason),
        }

    def condition(self, *keys: str) -> Condition:
        """Nothing that the act stands on has changed, nor `keys`."""
        return Condition((*self.keys, *keys), self.since)


class ErasedDomainError(CheckFailedError):
    """The secret of the epoch is destroyed."""

    default_sqlstate = "55000"  # object_not_in_prerequisite_state


class ControlLedger(Protocol):
    """What is needed of a ledger (`record.client.SyncLedger` is one)."""

    @property
    def state(self) -> ControlState:
        """The control log folded."""
        ...

    def append(
        self,
        entries: Sequence[Entry | bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        """Append control entries, all or none."""
        ...


class DomainStore:
    """The domains' secrets of one deployment. Thread-safe; keeps no more in memory than was asked for."""

    def __init__(
        self,
        custody: Custody,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        actor: str = "command",
    ) -> None:
        self.custody = custody
        self._now = now
        self._actor = actor
        self._lock = threading.RLock()
        self._root: bytes | None = None
        self._secrets: dict[tuple[str, int], EpochSecret] = {}

    @classmethod
    def of(cls, config: Config) -> DomainStore:
        """The store of a deployment."""
        return cls(Custody(CustodySettings.of(config)))

    # -- secrets -------------------------------------------------------------------------------------

    def current(self, recipient: str, purpose: str, state: ControlState) -> Domain:
        """The domain with the epoch in force; `UsageError` if it has none (`ensure` makes one)."""
        known = domain_of(state, recipient, purpose)
        epoch = None if known is None else known.in_force
        if epoch is None:
            raise UsageError(
                "the pseudonymisation domain has no epoch in force",
                hint="it gets one with the first session or transfer that shows pseudonyms",
            )
        return Domain(*names(recipient, purpose), epoch.number)

    def secret(self, domain: Domain, state: ControlState) -> EpochSecret:
        """The secret of an epoch that is on record; `ErasedDomainError` if there is none (any more).

        It has the derivation on record. Root, random value and derivation must be those that the epoch was
        made with: they give the key id on record.
        """
        epoch = self.require_usable(domain, state)
        secret = self._derived(domain, epoch.derivation)
        if key_id(secret, domain) != epoch.key_id:
            raise CheckFailedError(
                "the root secret is not the one that this pseudonymisation domain was made with",
                hint="the operator must restore `secrets/` from one backup",
                sqlstate="57P03",
            )
        return secret

    def coming_secret(self, domain: Domain) -> EpochSecret:
        """The secret of an epoch that is prepared and not on record yet: of the newest derivation."""
        return self._derived(domain, NEWEST)

    def require_usable(self, domain: Domain, state: ControlState) -> Epoch:
        """The epoch as it is on record; raises unless it is there and not erased."""
        known = domain_of(state, domain.recipient, domain.purpose)
        epoch = None if known is None else known.epoch(domain.epoch)
        if epoch is None:
            raise UsageError(
                f"the pseudonymisation domain has no epoch {domain.epoch}",
                hint="`ringfort domain list` shows which there are",
            )
        if epoch.status == ERASED:
            raise erased_error(domain.epoch)
        return epoch

    def open(self) -> None:
        """Read the root secret now rather than at the first use; raises if it is not to be had."""
        self._root_secret()

    def fingerprint_key(self) -> bytes:
        """32 bytes that fingerprints of direct identifiers are keyed with."""
        return fingerprint_key(self._root_secret())

    # -- making, rotating, erasing -------------------------------------------------------------------

    def next_epoch(self, recipient: str, purpose: str, state: ControlState) -> Domain:
        """The epoch that an opening or a rotation would put into force."""
        recipient, purpose = names(recipient, purpose)
        known = domain_of(state, recipient, purpose)
        first = Domain(recipient, purpose, 1)
        if known is None:  # 2 where epoch 1 was made without a secret of its own
            return Domain(recipient, purpose, 2) if first.id in state.domains else first
        return Domain(recipient, purpose, known.epochs[-1].number + 1)

    def prepare(self, domain: Domain) -> str:
        """Make the random value of an epoch if there is none; gives the epoch's key id, for its entry."""
        private_folder(self.custody.settings.secrets / DOMAINS)
        name = _name(domain)
        if not self.custody.has(name):
            try:
                self.custody.create(name, os.urandom(SALT_BYTES))
            except UsageError:  # another process was quicker: then its value counts
                if not self.custody.has(name):
                    raise
        return key_id(self.coming_secret(domain), domain)

    def opened(self, domain: Domain) -> DomainOpenedDeriving:
        """The entry that puts an epoch into force where there is none."""
        return DomainOpenedDeriving(
            **self._basic(), recipient=domain.recipient, purpose=domain.purpose, epoch=domain.epoch,
            domain=domain.id, key_id=self.prepare(domain), derivation=NEWEST,
        )  # fmt: skip

    def rotated(self, domain: Domain, leave: Leave) -> DomainRotatedDeriving:
        """The entry that puts an epoch into force instead of the one before."""
        return DomainRotatedDeriving(
            **self._basic(), recipient=domain.recipient, purpose=domain.purpose, epoch=domain.epoch,
            domain=domain.id, key_id=self.prepare(domain), derivation=NEWEST, **leave.fields(),
        )  # fmt: skip

    def erasures(self, known: PseudonymisationDomain, epochs: Sequence[Epoch], leave: Leave) -> list[Entry]:
        """The entries that erase epochs of a domain; afterwards `settle` destroys."""
        return [
            DomainErasedBy(
                **self._basic(), recipient=known.recipient, purpose=known.purpose, epoch=each.number,
                domain=each.id, **leave.fields(),
            )
            for each in epochs
        ]  # fmt: skip

    def ensure(self, ledger: ControlLedger, recipient: str, purpose: str) -> Domain:
        """The domain with its epoch in force, which is made and recorded if there is none."""
        for _ in range(ATTEMPTS):
            state = ledger.state
            known = domain_of(state, recipient, purpose)
            if known is not None and known.in_force is not None:
                domain = self.current(recipient, purpose, state)
                self.secret(domain, state)
                return domain
            since = state.size
            entry = self.opened(self.next_epoch(recipient, purpose, state))
            try:
                ledger.append([entry], condition=Condition((domain_key(recipient, purpose),), since))
            except ConditionFailedError:
                continue
        return self.current(recipient, purpose, ledger.state)

    def rotate(self, ledger: ControlLedger, recipient: str, purpose: str, leave: Leave) -> Domain:
        """Put a new epoch into force; the one before is retired. `UsageError` if none is in force."""
        state = ledger.state
        self.current(recipient, purpose, state)
        domain = self.next_epoch(recipient, purpose, state)
        entry = self.rotated(domain, leave)
        ledger.append(
            [entry], condition=leave.condition(domain_key(recipient, purpose)), blobs=(leave.input,)
        )
        return domain

    def erase(
        self, ledger: ControlLedger, recipient: str, purpose: str, leave: Leave, epoch: int = 0
    ) -> list[Epoch]:
        """Destroy the secret of one epoch, or of all (0), on record first; gives the epochs."""
        known, epochs = to_erase(ledger.state, recipient, purpose, epoch)
        condition = leave.condition(domain_key(recipient, purpose))
        ledger.append(self.erasures(known, epochs, leave), condition=condition, blobs=(leave.input,))
        self.settle(ledger.state)
        return epochs

    def settle(self, state: ControlState) -> list[str]:
        """Destroy what is erased on record and still here; gives the ids of those epochs."""
        destroyed = []
        for known in list(state.pseudonymisation.values()):
            for epoch in known.epochs:
                if epoch.status != ERASED:
                    continue
                with self._lock:
                    for derivation in DERIVATIONS:
                        self._secrets.pop((epoch.id, derivation), None)
                    name = f"{DOMAINS}/{epoch.id}.key"
                    if self.custody.has(name):
                        self.custody.destroy(name)
                        destroyed.append(epoch.id)
        return destroyed

    # -- parts ---------------------------------------------------------------------------------------

    def _derived(self, domain: Domain, derivation: int) -> EpochSecret:
        with self._lock:
            secret = self._secrets.get((domain.id, derivation))
            if secret is None:
                secret = domain_secret(self._root_secret(), self._random(domain), domain, derivation)
                self._secrets[domain.id, derivation] = secret
            return secret

    def _random(self, domain: Domain) -> bytes:
        name = _name(domain)
        if not self.custody.has(name):
            raise ErasedDomainError(
                f"there is no secret of epoch {domain.epoch} of this pseudonymisation domain",
                hint=f"if the ledger does not say that it was erased, restore `secrets/{name}` from a backup",
            )
        return self.custody.get(name)

    def _root_secret(self) -> bytes:
        with self._lock:
            if self._root is None:
                self._root = self.custody.get(ROOT)
            return self._root

    def _basic(self) -> dict[str, str]:
        return {"time": format_time(self._now()), "actor": self._actor}


def to_erase(
    state: ControlState, recipient: str, purpose: str, epoch: int = 0
) -> tuple[PseudonymisationDomain, list[Epoch]]:
    """The domain and those of its epochs that can be erased: the one of that number, or all (0)."""
    known = domain_of(state, recipient, purpose)
    if known is None:
        raise UsageError(
            "there is no pseudonymisation domain of this recipient and purpose",
            hint="`ringfort domain list` shows which there are",
        )
    epochs = [each for each in known.epochs if each.status != ERASED and epoch in {0, each.number}]
    if not epochs:
        raise UsageError(
            "every epoch of this domain is erased already"
            if not epoch
            else f"there is no epoch {epoch} to erase",
            hint="`ringfort domain list` shows what there is",
        )
    return known, epochs


def erased_error(epoch: int) -> ErasedDomainError:
    """The error for an epoch that is erased on record."""
    return ErasedDomainError(
        f"epoch {epoch} of this pseudonymisation domain is erased",
        hint="its pseudonyms cannot be made, resolved or bridged any more, by anybody",
    )


def _name(domain: Domain) -> str:
    return f"{DOMAINS}/{domain.id}.key"


__all__ = [
    "ControlLedger",
    "DomainStore",
    "ErasedDomainError",
    "Leave",
    "erased_error",
    "to_erase",
]
