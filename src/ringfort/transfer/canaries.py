"""Canaries: made-up people who are planted in the enclave only to be noticed outside of it.

A canary has values that nobody has: a name, an e-mail address and a code, made at random (50 bits and more).
Whoever keeps the data plants them where people stand, in tables, documents and notes; inspection stops every
transfer that would let one out, in any way of writing that it reads, and whatever the contract tolerates. A
canary that is planted as a row of the data subject's table is given its key (`subject`): then its pseudonyms
made for *another* recipient stop a transfer as well, and measures count how far such people stand out. Under
the recipient's own pseudonym a planted row leaves like any other.

Canaries are secrets (`secrets/canaries/ID.key`, wrapped): whoever knows them filters them out. Left out:
planting them, and looking for them in the world outside.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from ringfort.disclosure.forms_sql import pseudonym_type_of
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.ledger.domains import ERASED
from ringfort.paths import private_folder
from ringfort.privacy.fingerprint import FingerprintBuilder
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.privacy.stated_text import stated
from ringfort.sites.custody import CANARIES, key_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ringfort.catalog.model import Column, Dataset
    from ringfort.ledger.folds import ControlState
    from ringfort.ports import Randomness
    from ringfort.privacy.fingerprint import Fingerprints
    from ringfort.sites.custody import Custody
    from ringfort.sites.domains import DomainStore

MOST = 1000
_ID = re.compile(r"[0-9a-f]{12}")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")
_SUBJECT = re.compile(r"[^\x00-\x1f]{1,200}")
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_LETTERS, _DIGITS = "bcdfghjkmnpqrstvwxz", "23456789"


@dataclass(frozen=True)
class Canary:
    """One made-up person; `values` are by kind. Printed forms leave the values out."""

    id: str
    values: dict[str, str] = field(repr=False)
    subject: str = field(default="", repr=False)
    made: str = ""
    note: str = ""


def new_canary(  # noqa: PLR0917 - made in one place
    custody: Custody, randomness: Randomness, made: str, domain: str, subject: str = "", note: str = ""
) -> Canary:
    """Make up a canary, which `keep` puts into custody; raises `UsageError` for words that cannot be kept."""
    if not _DOMAIN.fullmatch(domain):
        raise UsageError("the domain of a canary's address is not valid", hint="for example mail.example.org")
    note = stated(note, "note")
    if subject and not _SUBJECT.fullmatch(subject):
        raise UsageError("the subject of a canary cannot be kept", hint="printable, at most 200 characters")
    if len(names(custody)) >= MOST:
        raise UsageError(f"there are {MOST} canaries already", hint="`ringfort canary remove` one")
    draw = _Draw(randomness)
    first, last = draw.word(), draw.word()
    code = "-".join(draw.letters(2) + draw.digits(2) for _ in range(4))
    values = {
        "name": f"{first.title()} {last.title()}",
        "email": f"{first}.{last}{draw.digits(2)}@{domain}",
        "code": code,
    }
    return Canary(randomness.token(6).hex(), values, subject, made, note)


def keep(custody: Custody, canary: Canary) -> None:
    """Put a canary into custody; it is on record before."""
    private_folder(custody.settings.secrets / CANARIES)
    kept = {"values": canary.values, "subject": canary.subject, "made": canary.made, "note": canary.note}
    custody.create(f"{CANARIES}/{canary.id}.key", json.dumps(kept).encode())


def names(custody: Custody) -> list[str]:
    """The ids of the canaries, sorted."""
    return [each.removesuffix(".key") for each in key_files(custody.settings.secrets / CANARIES)]


def read_canary(custody: Custody, name: str) -> Canary:
    """The canary of that id; raises `UsageError` if there is none."""
    if not _ID.fullmatch(name) or not custody.has(f"{CANARIES}/{name}.key"):
        raise UsageError(f"there is no canary `{name}`", hint="`ringfort canary list` shows which there are")
    try:
        kept = json.loads(custody.get(f"{CANARIES}/{name}.key"))
        return Canary(name, dict(kept["values"]), kept["subject"], kept["made"], kept["note"])
    except (ValueError, KeyError, TypeError):
        raise MissingEnvironmentError(
            f"the canary `{name}` cannot be read", hint="restore `secrets/` from a backup"
        ) from None


def canaries_of(custody: Custody) -> list[Canary]:
    """All canaries."""
    return [read_canary(custody, each) for each in names(custody)]


def fingerprints_of(
    canaries: Sequence[Canary], key: bytes, pseudonyms: Sequence[bytes] = ()
) -> Fingerprints | None:
    """What inspection looks for in texts, pseudonyms as UUIDs are written; None without canaries."""
    if not canaries:
        return None
    builder = FingerprintBuilder(key, sure=True)
    for each in canaries:
        for kind, value in each.values.items():
            builder.add(kind, pa.array([value]))
    builder.add("key", pa.array(pseudonyms, pa.binary(16)))
    return builder.finish().fingerprints


def subject_values(canaries: Sequence[Canary], column: Column) -> pa.Array:
    """The keys of planted rows in the type of the subject's column; those that do not fit are left out."""
    kind = pseudonym_type_of(column.data_type)
    found = [each.subject for each in canaries if each.subject]
    if kind == "number":
        return pa.array([int(each) for each in found if re.fullmatch(r"-?[0-9]{1,18}", each)], pa.int64())
    if kind == "uuid":
        plain = [each.replace("-", "") for each in found]
        return pa.array(
            [bytes.fromhex(each) for each in plain if re.fullmatch(r"[0-9a-fA-F]{32}", each)], pa.binary(16)
        )
    return pa.array(found if kind == "text" else [], pa.string())


def foreign_pseudonyms(
    canaries: Sequence[Canary],
    dataset: Dataset,
    own: Domain | None,
    domains: DomainStore,
    state: ControlState,
) -> tuple[bytes, ...]:
    """The pseudonyms of planted rows in every domain and epoch but the recipient's own."""
    place = dataset.subject_column()
    if place is None or not any(each.subject for each in canaries):
        return ()
    column = dataset.table(place[0]).column(place[1])
    values = subject_values(canaries, column)
    if not len(values):
        return ()
    space = column.identity_space or f"{dataset.name}.{place[0]}.{place[1]}"
    found: set[bytes] = set()
    for known in state.pseudonymisation.values():
        for epoch in known.epochs:
            domain = Domain(known.recipient, known.purpose, epoch.number)
            if epoch.status != ERASED and domain != own:
                made = pseudonymise(
                    values, method="cmac", kind=column.kind, secret=domains.secret(domain, state),
                    domain=domain, identity_space=space,
                )  # fmt: skip
                found.update(made.to_pylist())
    return tuple(sorted(found))


class _Draw:
    """Letters drawn evenly from random bytes."""

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness

    def one(self, letters: str) -> str:
        """A letter."""
        while True:
            byte = self._randomness.token(1)[0]
            if byte < 256 - 256 % len(letters):
                return letters[byte % len(letters)]

    def letters(self, count: int) -> str:
        """Consonants that are not taken for one another."""
        return "".join(self.one(_LETTERS) for _ in range(count))

    def digits(self, count: int) -> str:
        """Digits that are not taken for letters."""
        return "".join(self.one(_DIGITS) for _ in range(count))

    def word(self) -> str:
        """A word of four syllables that can be said: 24 bits."""
        return "".join(self.one(_CONSONANTS) + self.one(_VOWELS) for _ in range(4)) + self.one("lnrs")


__all__ = [
    "Canary",
    "canaries_of",
    "fingerprints_of",
    "foreign_pseudonyms",
    "names",
    "new_canary",
    "read_canary",
    "subject_values",
]
