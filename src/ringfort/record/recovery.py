"""Rebuilding a ledger's state at start: published tiles first, then the journal on top.

Refuses to start (LedgerBehindError) when what was published is ahead of what tiles and journal can rebuild,
or when the parts do not continue one another: going on from such a state would fork the log.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from ringfort.ledger.checkpoint import open_checkpoint
from ringfort.ledger.entry import check
from ringfort.ledger.errors import LedgerError
from ringfort.ledger.evidence import encode_record
from ringfort.ledger.merkle import leaf_hash
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.tiles import TILE_WIDTH, TileReader, read_bundle
from ringfort.record.errors import LedgerBehindError, RecordError
from ringfort.record.logs import Log
from ringfort.record.mark import MarkError, read_mark
from ringfort.record.records import (
    BlobRecord,
    ControlRecord,
    EvidenceRecord,
    TrafficRecord,
    decode_records,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ringfort.ledger.folds import Shard
    from ringfort.record.core import LedgerCore
    from ringfort.record.journal import Group
    from ringfort.record.records import Record

LOG = logging.getLogger(__name__)
_HINT = "most likely a backup was restored; bring back the newest copy of the ledger folder, whole"


def recover(core: LedgerCore) -> None:
    """Fill a new core from its folder; the folder may be empty."""
    groups = core.journal.recover()
    _resume(core, core.control)
    _require_journal(core, groups)
    for entry in _published_entries(core, core.control):
        core.state.apply(entry)
    for shard in core.state.shards:
        _add_shard(core, shard)
    published = {name: each.last for name, each in core.state.evidence.items()}
    oldest = groups[0].number if groups else core.journal.number + 1

    def rebuilt(stream: str, last: int) -> bool:
        # Evidence that a published entry commits was durable; all other is in the journal still.
        return last >= published.get(stream, 0) or oldest <= last + 1

    durable_evidence = core.evidence.recover(rebuilt)
    for stream, last in published.items():
        if stream not in core.state.dropped_evidence and durable_evidence.get(stream, 0) < last:
            LOG.warning(
                "evidence that was committed is missing; what the journal still holds is stored again",
                extra={"event": "evidence-missing"},
            )
    evidence: list[tuple[str, int, bytes, int]] = []
    for group in groups:
        records = decode_records(group.body)
        for record in records:
            if isinstance(record, BlobRecord):
                _recover_blob(core, record.data)
            elif isinstance(record, EvidenceRecord):
                evidence.append((record.shard, group.number, record.sealed, _pieces(records)))
            elif isinstance(record, ControlRecord):
                _replay_control(core, record)
            else:
                log = core.shards.get(record.shard)
                if log is None and not _closed(core, record.shard):
                    raise LedgerBehindError("the journal holds traffic of an unknown shard", hint=_HINT)
                if log is not None:
                    _replay(core, log, record.first, record.entries)
    _recover_evidence(core, evidence, durable_evidence)
    _require_complete(core)
    _require_position(core, groups)
    _say(core, len(groups))


def _say(core: LedgerCore, groups: int) -> None:
    """Log what a recovery met."""
    if core.journal.was_torn:
        LOG.warning(
            "the journal ended in a group that was not written whole, and not acknowledged; it was cleared",
            extra={"event": "journal-torn"},
        )
    if groups:
        waiting = sum(each.size - each.published for each in core.logs())
        LOG.info(
            "the ledger was read again: journal groups %d, entries that wait to be published %d",
            groups,
            waiting,
            extra={"event": "ledger-recovered"},
        )


def _pieces(records: list[Record]) -> int:
    """How many traffic entries of a group name evidence, which is as many pieces as it sealed."""
    return sum(
        bool(check(entry)[1].get("evidence"))
        for record in records
        if isinstance(record, TrafficRecord)
        for entry in record.entries
    )


def _recover_evidence(
    core: LedgerCore, evidence: list[tuple[str, int, bytes, int]], durable: dict[str, int]
) -> None:
    """Go on with each stream's chain from what is committed, and write again what no segment holds."""
    core.streams.resume(core.state.evidence)
    for stream, last in durable.items():
        core.streams.begin(stream, last)
    for stream, number, sealed, pieces in evidence:
        missing = number > durable.get(stream, 0)
        if number > core.streams.end(stream):
            core.add_evidence(stream, number, sealed, pieces)
            if not missing:
                core.pending_evidence[stream].pop()
        elif missing:
            core.pending_evidence.setdefault(stream, []).append((number, encode_record(number, sealed)))
    core.pending_evidence = {stream: records for stream, records in core.pending_evidence.items() if records}


def _require_position(core: LedgerCore, groups: list[Group]) -> None:
    """The journal must reach as far as the control log and the mark of what was acknowledged say."""
    chains = {each.number: each.chain for each in groups}
    positions = [(each.group, bytes.fromhex(each.chain)) for each in core.state.journals.values()]
    try:
        mark = read_mark(core.disk, core.settings.folder)
    except MarkError as error:
        raise LedgerBehindError(error.message, hint=_HINT) from None
    if mark is not None:
        positions.append((mark.number, mark.chain))
    for number, chain in positions:
        if number > core.journal.number:
            raise LedgerBehindError(
                f"the journal ends at group {core.journal.number}, but group {number} was acknowledged",
                hint=_HINT,
            )
        if chains.get(number, chain) != chain:
            raise LedgerBehindError("the journal is not the one that was acknowledged", hint=_HINT)


def _marker(core: LedgerCore) -> Path:
    return core.settings.folder / "published"


def remember(core: LedgerCore, group: int, chain: bytes) -> None:
    """Note, before a round's checkpoints are written, up to which journal group they reach."""
    core.disk.write_whole(_marker(core), b"%d %b\n" % (group, chain.hex().encode()))
    core.disk.sync_folder(core.settings.folder)


def _require_journal(core: LedgerCore, groups: list[Group]) -> None:
    """The journal must reach at least as far as the last round did, and be the same one."""
    data = core.disk.read(_marker(core))
    if data is None:
        if core.control.checkpoint:
            raise LedgerBehindError("the note of what was published last is missing", hint=_HINT)
        return
    try:
        number_text, chain = data.decode().split()
        number = int(number_text)
    except ValueError:
        raise LedgerBehindError("the note of what was published last has been changed", hint=_HINT) from None
    if core.journal.number < number:
        raise LedgerBehindError("the journal is missing, or older than what was published", hint=_HINT)
    found = [each.chain.hex() for each in groups if each.number == number]
    if found and found != [chain]:
        raise LedgerBehindError("the journal is not the one that was published from", hint=_HINT)


def _reader(core: LedgerCore, log: Log) -> Callable[[str], bytes | None]:
    return lambda path: core.store.read(f"{log.name}/{path}")


def _resume(core: LedgerCore, log: Log) -> None:
    """Take up a log at its published checkpoint."""
    data = core.store.read(f"{log.name}/checkpoint")
    if data is None:
        return
    try:
        checkpoint = open_checkpoint(data, log.signer.key)
        log.sequencer = Sequencer.resume(checkpoint.size, _reader(core, log))
    except LedgerError as error:
        raise LedgerBehindError(
            f"`{log.name}` cannot be rebuilt to its published checkpoint: {error}", hint=_HINT
        ) from error
    if log.sequencer.root() != checkpoint.root:
        raise LedgerBehindError(
            f"`{log.name}` cannot be rebuilt to its published checkpoint: the tiles lead to another root",
            hint=_HINT,
        )
    log.published, log.checkpoint = checkpoint.size, data


def _published_entries(core: LedgerCore, log: Log) -> Iterator[bytes]:
    """The entries under the published checkpoint, each compared with its leaf hash."""
    read = _reader(core, log)
    hashes = TileReader(log.published, read)
    for index in range((log.published + TILE_WIDTH - 1) // TILE_WIDTH):
        leaves = hashes.tile(0, index)
        entries, problem = read_bundle(read, index, len(leaves))
        if problem:
            raise LedgerBehindError(f"`{log.name}`: {problem}", hint=_HINT)
        for offset, (entry, leaf) in enumerate(zip(entries, leaves, strict=True)):
            if leaf_hash(entry) != leaf:
                raise LedgerBehindError(
                    f"`{log.name}`: entry {index * TILE_WIDTH + offset} has been changed", hint=_HINT
                )
            yield entry


def _add_shard(core: LedgerCore, name: str) -> None:
    if name in core.shards or _closed(core, name):
        return
    log = Log(f"traffic/{name}", core.settings.origin, core.settings.seed)
    _resume(core, log)
    core.shards[name] = log


def _closed(core: LedgerCore, name: str) -> bool:
    shard = core.state.shards.get(name)
    return shard is not None and shard.closed is not None


def _replay_control(core: LedgerCore, record: ControlRecord) -> None:
    for data in _replay(core, core.control, record.first, record.entries):
        core.state.apply(data)
        core.tail.append(data)
    for name in list(core.state.shards):
        if _closed(core, name):
            core.shards.pop(name, None)
        else:
            _add_shard(core, name)


def _replay(core: LedgerCore, log: Log, first: int, entries: tuple[bytes, ...]) -> list[bytes]:
    """Append what the log does not have yet; gives those entries."""
    if first > log.size:
        raise LedgerBehindError(
            f"`{log.name}`: entries {log.size} to {first - 1} are neither published nor in the journal",
            hint=_HINT,
        )
    fresh = list(entries[log.size - first :])
    shard = core.state.shards.get(log.shard)
    for each in fresh:
        log.sequencer.append(each)
        if shard is not None and log.size == shard.anchored:
            _require_root(log, shard.anchored_root)
    return fresh


def _require_root(log: Log, root: str) -> None:
    if log.sequencer.root().hex() != root:
        raise LedgerBehindError(f"`{log.name}` is not what was anchored in the control log", hint=_HINT)


def _recover_blob(core: LedgerCore, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    try:
        held = core.blobs.get(digest) is not None
    except RecordError:
        held = False  # placed but not synced before a crash
    if not held:
        core.blobs.place(data)
        core.pending_blobs[digest] = data


def _require_complete(core: LedgerCore) -> None:
    """What the control log says about traffic must be there."""
    for name, shard in core.state.shards.items():
        log = core.shards.get(name)
        if log is None:
            _require_closed(core, name, shard)
        if log is not None and log.size == shard.anchored > 0:
            _require_root(log, shard.anchored_root)
        if log is not None and log.size < shard.anchored:
            raise LedgerBehindError(
                f"`{log.name}` holds {log.size} entries, {shard.anchored} were anchored in control",
                hint=_HINT,
            )
    for name in core.store.names("traffic"):
        if name not in core.state.shards:
            raise LedgerBehindError(
                f"`traffic/{name}` is published, but the control log knows no such shard", hint=_HINT
            )


def _require_closed(core: LedgerCore, name: str, shard: Shard) -> None:
    """A closed shard that is still published must be published to its end."""
    data = core.store.read(f"traffic/{name}/checkpoint")
    if data is None:
        return  # dropped after its retention period
    log = Log(f"traffic/{name}", core.settings.origin, core.settings.seed)
    try:
        checkpoint = open_checkpoint(data, log.signer.key)
    except LedgerError as error:
        raise LedgerBehindError(f"`{log.name}`: {error}", hint=_HINT) from error
    if (checkpoint.size, checkpoint.root.hex()) != shard.closed:
        raise LedgerBehindError(f"`{log.name}` is not published as far as it was closed", hint=_HINT)
