"""The manifest of a release: what left, signed, tied to the ledger. Values and checks, no files.

A release is a folder of files with two more:

    manifest.note         a C2SP signed note: the format's name, then canonical JSON in one line; signed with
                          Ed25519 by the deployment's transfer key
    manifest.tlog-proof   a C2SP tlog-proof: the `TransferReleased` entry (as `extra`), its index, its
                          inclusion path and the signed checkpoint

Trust runs from one key: the log's verifier key proves the entry, the entry names the transfer key and the
SHA-256 of the note, the note names every file with length, rows and SHA-256. `check_release` follows it
offline. Left out: who trusts which log key, and whether the policy was right (the record's replay).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringfort.errors import CheckFailedError
from ringfort.ledger.entry import canonical, decode
from ringfort.ledger.entry_control_transfers import TransferReleased
from ringfort.ledger.errors import LedgerError
from ringfort.ledger.note import VerifierKey, open_note, parse_note, sign_note
from ringfort.ledger.proof import parse_proof
from ringfort.policy.canonical import parse_canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ringfort.ledger.note import NoteSigner

FORMAT = "ringfort-transfer-manifest/1"
MANIFEST, PROOF = "manifest.note", "manifest.tlog-proof"
MOST_BYTES = 1 << 20  # of a signed note


class ReleaseError(CheckFailedError):
    """A release is not what the record says it is."""

    default_sqlstate = "22000"  # data_exception


@dataclass(frozen=True)
class ReleasedFile:
    """A file of a release: its path below the folder, rows, length in bytes, SHA-256."""

    path: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class ReleasedColumn:
    """A column: the form it left in, the method of a pseudonym, how many values its form could not take."""

    name: str
    form: str
    method: str = ""
    lost: int = 0


@dataclass(frozen=True)
class ReleasedTable:
    """A table of a release."""

    name: str
    rows: int
    columns: tuple[ReleasedColumn, ...]
    files: tuple[ReleasedFile, ...]


@dataclass(frozen=True)
class Manifest:
    """What left. `epoch` is that of the pseudonymisation domain (0: no pseudonyms); `seal` is of `seal`."""

    transfer: str
    run: str
    contract: str
    entity: str
    country: str
    purpose: str
    mechanism: str
    assessment: str
    output: str
    writer: str
    epoch: int
    released: str
    delete_by: str
    measures: str
    tables: tuple[ReleasedTable, ...]
    seal: Mapping[str, Any] | None = field(default=None)

    @property
    def files(self) -> tuple[ReleasedFile, ...]:
        """All files."""
        return tuple(file for table in self.tables for file in table.files)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(each.rows for each in self.tables)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(each.size for each in self.files)

    def sign(self, signer: NoteSigner) -> bytes:
        """The signed note."""
        data = sign_note(f"{FORMAT}\n{canonical(self.to_json()).decode()}\n", [signer])
        if len(data) > MOST_BYTES:
            raise ReleaseError(
                "the release has more files than a manifest can name", hint="transfer it table by table"
            )
        return data

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            **{
                each: getattr(self, each)
                for each in (
                    "transfer", "run", "contract", "entity", "country", "purpose", "mechanism", "assessment",
                    "output", "writer", "epoch", "released", "delete_by", "measures",
                )
            },
            "tables": [
                {
                    "name": table.name,
                    "rows": table.rows,
                    "columns": [vars(each) for each in table.columns],
                    "files": [vars(each) for each in table.files],
                }
                for table in self.tables
            ],
            "seal": None if self.seal is None else dict(self.seal),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Manifest:
        """The inverse of `to_json`; raises `ReleaseError` if the shape is another."""
        try:
            tables = tuple(
                ReleasedTable(
                    each["name"],
                    each["rows"],
                    tuple(ReleasedColumn(**column) for column in each["columns"]),
                    tuple(ReleasedFile(**file) for file in each["files"]),
                )
                for each in data["tables"]
            )
            made = cls(**data | {"tables": tables})
            same = made.to_json() == data
        except (KeyError, TypeError, AttributeError):
            raise ReleaseError("the manifest is not of this format") from None
        if not same:
            raise ReleaseError("the manifest is not of this format")
        return made


@dataclass(frozen=True)
class Release:
    """A release that was checked up to its manifest: its files are not looked at yet."""

    manifest: Manifest
    entry: TransferReleased
    index: int
    origin: str
    tree_size: int
    note: bytes


def digest_of(note: bytes) -> str:
    """What the entry holds of a manifest."""
    return hashlib.sha256(note).hexdigest()


def read_manifest(note: bytes, key: VerifierKey) -> Manifest:
    """The manifest of a signed note; raises `ReleaseError` unless it is signed by `key`."""
    try:
        opened, _ = open_note(note, [key])
    except LedgerError as error:
        raise ReleaseError(f"the manifest is {error.message}") from None
    return _parsed(opened.text)


def manifest_of(note: bytes) -> Manifest:
    """The manifest of a note whose signature is not looked at: one that the ledger names by its digest."""
    return _parsed(parse_note(note).text)


def _parsed(text: str) -> Manifest:
    head, _, body = text.partition("\n")
    if head != FORMAT:
        raise ReleaseError("the manifest is not of this format")
    try:
        data = parse_canonical(body.removesuffix("\n").encode())
    except ValueError:
        raise ReleaseError("the manifest is not of this format") from None
    if not isinstance(data, dict):
        raise ReleaseError("the manifest is not of this format")
    return Manifest.from_json(data)


def check_release(note: bytes, proof: bytes, log_key: VerifierKey) -> Release:
    """Follow the chain from the log's key to the manifest; raises `ReleaseError` where it breaks."""
    try:
        parsed = parse_proof(proof)
        entry_bytes = parsed.extra or b""
        checkpoint = parsed.verify(entry_bytes, log_key)
        entry = decode(entry_bytes)
    except LedgerError as error:
        raise ReleaseError(
            f"the proof of the ledger does not hold: {error.message}",
            hint="is --vkey the key of the log that the release names?",
        ) from None
    if not isinstance(entry, TransferReleased):
        raise ReleaseError("the ledger's entry is not of a release")
    if digest_of(note) != entry.manifest:
        raise ReleaseError("the manifest is not the one that the ledger's entry names")
    try:
        key = VerifierKey.parse(entry.vkey)
    except LedgerError as error:
        raise ReleaseError(f"the entry names {error.message}") from None
    manifest = read_manifest(note, key)
    for name, stated, recorded in (
        ("transfer", manifest.transfer, entry.transfer),
        ("run", manifest.run, entry.run),
        ("contract", manifest.contract, entry.contract),
        ("recipient", manifest.entity, entry.recipient),
        ("country", manifest.country, entry.country),
        ("rows", manifest.rows, entry.rows),
        ("bytes", manifest.size, entry.bytes),
        ("files", len(manifest.files), entry.files),
        ("measures", manifest.measures, entry.measures),
    ):
        if stated != recorded:
            raise ReleaseError(f"manifest and ledger do not agree on `{name}`")
    check_paths(each.path for each in manifest.files)
    return Release(manifest, entry, parsed.index, checkpoint.origin, checkpoint.size, note)


def check_paths(paths: Iterable[str]) -> None:
    """Raise `ReleaseError` unless every path stays below its folder and stands there once."""
    seen: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if (
            path in seen
            or not 1 <= len(parts) <= 4
            or any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts)
            or path in {MANIFEST, PROOF}
        ):
            raise ReleaseError("the manifest names a path that no release has")
        seen.add(path)


__all__ = [
    "MANIFEST",
    "PROOF",
    "Manifest",
    "Release",
    "ReleaseError",
    "ReleasedColumn",
    "ReleasedFile",
    "ReleasedTable",
    "check_paths",
    "check_release",
    "digest_of",
    "manifest_of",
    "read_manifest",
]
