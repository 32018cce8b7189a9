"""What a ledger is, and the logs of one being written: settings, one log's growing end, a round's work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.ledger.entry import TRAFFIC, canonical
from ringfort.ledger.note import Ed25519Signer
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.tiles import TILE_WIDTH, read_bundle
from ringfort.record.errors import RecordError
from ringfort.record.journal import SEGMENT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from ringfort.ledger.folds import ControlState
    from ringfort.ports import LedgerStore
    from ringfort.record.store import FolderStore


@dataclass(frozen=True)
class LedgerSettings:
    """What a ledger is: where it lies, its origin, its keys, its promises."""

    folder: Path
    """`state/ledger` of a deployment."""
    origin: str
    """Origin prefix; the logs are `ORIGIN/control` and `ORIGIN/traffic/2026-11`."""
    seed: bytes = field(repr=False)
    """Ed25519 seed, 32 bytes."""
    evidence_public: bytes = b""
    """Raw X25519 public key; without one, evidence is refused."""
    merge_delay: float = 5.0
    """Seconds from durable to published, at most."""
    control_staleness: float = 10.0
    """Seconds for which an older control size may still be decided on."""
    segment_bytes: int = SEGMENT_BYTES


class Log:
    """One log being written: its sequencer, its key, what of it is published."""

    def __init__(self, name: str, origin: str, seed: bytes) -> None:
        self.name = name
        self.signer = Ed25519Signer(f"{origin}/{name}", seed)
        self.origin = self.signer.key.name
        self.sequencer = Sequencer()
        self.published = 0
        self.checkpoint = b""
        """The last checkpoint that was published, as bytes; empty if there is none."""

    @property
    def shard(self) -> str:
        """The shard's name such as `2026-11`; empty for the control log."""
        return self.name.partition("/")[2]

    @property
    def vkey(self) -> str:
        """The verifier key of this log's checkpoints."""
        return self.signer.key.text

    @property
    def size(self) -> int:
        """Entries so far, staged ones included."""
        return self.sequencer.size

    @property
    def waiting(self) -> bool:
        """Whether there is something to publish."""
        return self.published != self.size or not self.checkpoint


@dataclass(frozen=True)
class LogPublication:
    """What one log's next checkpoint needs."""

    log: Log
    resources: dict[str, bytes]
    size: int
    root: bytes
    checkpoint: bytes
    previous: bytes


@dataclass(frozen=True)
class Publication:
    """A round's work: what must be on disk before journal groups up to `group` may go."""

    logs: tuple[LogPublication, ...]
    evidence: tuple[tuple[str, tuple[tuple[int, bytes], ...]], ...]
    blobs: tuple[bytes, ...]
    group: int
    chain: bytes
    spare: bool
    index: bytes


def published_entries(store: LedgerStore, log: str, start: int, size: int) -> list[bytes]:
    """The entries from `start` to its bundle's end, of a log published up to `size`; raises RecordError."""
    index, offset = divmod(start, TILE_WIDTH)
    width = min(TILE_WIDTH, size - index * TILE_WIDTH)
    bundle, problem = read_bundle(lambda path: store.read(f"{log}/{path}"), index, width)
    if problem:
        raise RecordError(f"{log} log: {problem}")
    return bundle[offset:]


def write_log(store: FolderStore, part: LogPublication) -> None:
    """Write one log's tiles and bundles, then its checkpoint; raises RecordError, OSError."""
    name = part.log.name
    path = f"{name}/checkpoint"
    if (store.read(path) or b"") != part.previous:
        raise RecordError(
            f"the checkpoint of `{name}` is not the one that this writer published last",
            hint="another process has written here; stop it before starting again",
        )
    store.write({f"{name}/{each}": data for each, data in part.resources.items()})
    store.write({path: part.checkpoint})
    store.remove_partials(name, part.resources)


def index_page(control: Log, state: ControlState) -> bytes:
    """What the HTTP server shows at `/`: every log with its origin and verifier key."""
    logs = [{"log": control.name, "origin": control.origin, "vkey": control.vkey}]
    logs += [
        {"log": f"{TRAFFIC}/{each.name}", "origin": each.origin, "vkey": each.vkey}
        for each in state.shards.values()
    ]
    return canonical({"logs": logs})
