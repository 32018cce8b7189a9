"""Fingerprints of a transfer's identifiers, made or brought up to date ahead of its runs.

A run then reads only what has changed since, in its own snapshot. Nothing leaves, nothing is recorded, and it
needs no approval: what is read stays in the region as a run's fingerprints do. The transfer's lock is held
meanwhile, so a run that begins is told that the transfer is in use.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.paths import private_folder
from ringfort.record.disk import OsDisk
from ringfort.record.reading import read_ledger
from ringfort.sites.domains import DomainStore
from ringfort.transfer.desk import TransferDesk, read_contract
from ringfort.transfer.fingerprints import IdentifierSource, kept_fingerprints
from ringfort.transfer.state import TransferFolder
from ringfort.transfer.work import KEPT, Progress, Silent

if TYPE_CHECKING:
    from ringfort.config import Config


@dataclass(frozen=True)
class Prepared:
    """How many rows were read, and how many fingerprints there are."""

    rows: int
    fingerprints: int


def prepare_transfer(config: Config, name: str, progress: Progress | None = None) -> Prepared:
    """Make the fingerprints of a transfer's dataset, or bring them up to date."""
    stated = read_contract(config.folder, name)
    desk = TransferDesk(config, read_ledger(config.folder), stated)
    shown = progress or Silent()
    rows = 0

    def advance(amount: int) -> None:
        nonlocal rows
        rows += amount
        shown.advance(amount)

    with contextlib.closing(TransferFolder(config.folder, name, OsDisk())) as held:
        shown.stage("fingerprinting identifiers", -1)
        key = DomainStore.of(config).fingerprint_key()
        source = IdentifierSource(config, stated.contract, desk.catalogue, key, advance, ahead=True)
        kept = kept_fingerprints(source, private_folder(held.path / KEPT))
    return Prepared(rows, 0 if kept is None else kept.count)


__all__ = ["Prepared", "prepare_transfer"]
