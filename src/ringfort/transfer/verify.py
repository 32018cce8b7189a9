"""Whether a release is what the ledger says that left: its proof, its manifest, and every file of it.

Works offline, on a folder or an S3-compatible address, for whoever holds the log's verifier key: the
recipient, an overseer, an auditor. Nothing of the deployment is needed. Invariants: a file more or less, a
link, another byte, another number of rows is a problem; everything that is wrong is told, not only the
first. What was not verified, for want of a key, is listed as such. Left out: what the policy was, and whether
what was sealed is what the manifest says (its recipient sees that).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ringfort.errors import RingfortError
from ringfort.ledger.note import MAX_NOTE_BYTES
from ringfort.ledger.transfers import NOT_PUBLISHED
from ringfort.transfer.manifest import MANIFEST, MOST_BYTES, PROOF, ReleaseError, check_release
from ringfort.transfer.seal import COSIGNATURE, check_cosignature

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.ledger.folds import ControlState
    from ringfort.ledger.note import VerifierKey
    from ringfort.transfer.manifest import Manifest, Release, ReleasedFile
    from ringfort.transfer.publish import Place

_BLOCK = 4 * 1024 * 1024
_MOST_PROOF = 2 << 20


@dataclass
class Verification:
    """What was found: the release, if proof and manifest hold, and everything that is wrong."""

    address: str
    release: Release | None = None
    problems: list[str] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    """What is there and was not looked into, or only in part."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.release is not None and not self.problems


def _since(record: ControlState, release: Release, log_key: VerifierKey) -> list[str]:
    """What the record says against a release by now."""
    if record.vkey != log_key.text:
        return ["the deployment's ledger is not the one that --vkey is of"]
    manifest = release.manifest
    transfer = record.transfers.get(manifest.transfer)
    run = None if transfer is None else transfer.run(manifest.run)
    if run is None or run.index != release.index:
        return [f"the record knows no such release of `{manifest.transfer}`"]
    if run.status == NOT_PUBLISHED:
        return [
            f"the record says since that it is not published ({run.outcome}): the recipient must delete it"
        ]
    return []


def open_release(place: Place, log_key: VerifierKey) -> Release:
    """Proof and manifest, checked; the files are not looked at. Raises `RingfortError`."""
    if MANIFEST not in place.names():
        raise ReleaseError(
            f"`{place.address}` holds no `{MANIFEST}`",
            hint="give the folder of one run; without it there is none",
        )
    with place.open(MANIFEST) as file:
        note = file.read(MOST_BYTES + 1)
    with place.open(PROOF) as file:
        proof = file.read(_MOST_PROOF + 1)
    return check_release(note, proof, log_key)


def verify_release(
    place: Place,
    log_key: VerifierKey,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    overseer: VerifierKey | None = None,
    record: ControlState | None = None,
) -> Verification:
    """Check everything; `progress` gets (bytes done, bytes in all).

    `overseer` is the key of who may have cosigned: without it a cosignature is not verified. `record` is the
    control log as it is now: the proof shows that the release was recorded, not what became of it since.
    """
    found = Verification(place.address)
    try:
        release = open_release(place, log_key)
    except RingfortError as error:
        found.problems.append(error.message)
        return found
    found.release = release
    if record is not None:
        found.problems += _since(record, release, log_key)
    files = release.manifest.files
    surplus = set(place.names()) - {each.path for each in files} - {MANIFEST, PROOF}
    if COSIGNATURE in surplus and release.manifest.seal is not None:
        surplus.remove(COSIGNATURE)
        _cosignature(place, release, overseer, found)
    found.problems += [f"`{each}` is not in the manifest" for each in sorted(surplus)]
    if release.manifest.seal is not None:
        found.not_verified.append("how many rows the sealed files hold: who opens them sees it")
    elif release.manifest.output != "parquet":
        found.not_verified.append(f"how many rows the {release.manifest.output} files hold")
    done = 0
    for each in files:
        problem = _file_problem(place, each, release.manifest)
        if problem:
            found.problems.append(problem)
        done += each.size
        progress(done, release.manifest.size)
    for table in release.manifest.tables:
        if sum(each.rows for each in table.files) != table.rows:
            found.problems.append(f"the files of table `{table.name}` have another number of rows in all")
    return found


def _cosignature(place: Place, release: Release, overseer: VerifierKey | None, found: Verification) -> None:
    try:
        with place.open(COSIGNATURE) as file:
            data = file.read(MAX_NOTE_BYTES + 1)
        found.not_verified += check_cosignature(release, data, overseer)
    except (RingfortError, OSError) as error:
        found.problems.append(
            str(error) if isinstance(error, RingfortError) else f"`{COSIGNATURE}` cannot be read"
        )


def _file_problem(place: Place, stated: ReleasedFile, manifest: Manifest) -> str:
    """What is wrong with one file, "" if nothing."""
    digest, size = hashlib.sha256(), 0
    try:
        with place.open(stated.path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except (RingfortError, OSError) as error:
        return str(error) if isinstance(error, RingfortError) else f"`{stated.path}` cannot be read"
    if size != stated.size:
        return f"`{stated.path}` has {size:,} bytes, the manifest says {stated.size:,}"
    if digest.hexdigest() != stated.sha256:
        return f"`{stated.path}` has been changed: its SHA-256 is not that of the manifest"
    if manifest.output == "parquet" and manifest.seal is None:
        try:
            with place.open(stated.path) as file, pq.ParquetFile(file) as parquet:
                rows = parquet.metadata.num_rows
        except (pa.ArrowException, OSError):
            return f"`{stated.path}` is no Parquet file"
        if rows != stated.rows:
            return f"`{stated.path}` has {rows:,} rows, the manifest says {stated.rows:,}"
    return ""


__all__ = ["Verification", "open_release", "verify_release"]
