"""The ledger from within an asyncio process: what a gateway worker and the provisioner hold.

`admit` is the hot path: it queues an entry with its evidence and costs about a microsecond; everything
queued in one turn of the loop goes out in one write. The control log is followed live: `control_size` and
`control_root` are computed here from the entries themselves, so nothing about them is believed. When the
writer is lost every open `done` gets False: nothing may be released on it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.merkle import CompactRange, leaf_hash
from ringfort.ledger.tiles import MAX_ENTRY_BYTES
from ringfort.record import frames
from ringfort.record.errors import JournalError, LedgerLostError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ringfort.ledger.folds import Condition

NOTE_DELAY_SECONDS = 0.05
NOTE_BYTES = 1 << 16
GATHER_TURNS = 6
"""Turns of the loop, some microseconds each, that a write waits at most for company."""
MAX_WAITING = 65_536
"""Admissions that may be open; more are refused at once."""
CROWDED_BYTES = 8 << 20
CROWDED_WAITING = 16_384
"""Bytes on their way to the writer, and open admissions, above which `crowded` asks for patience."""
MAX_QUEUED_BYTES = 64 << 20
_pack_item = frames.ITEM.pack


class _Protocol(asyncio.Protocol):
    """Bytes between the transport and its channel."""

    def __init__(self, channel: LedgerChannel) -> None:
        self._channel = channel
        self._reader = frames.FrameReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._channel._attach(transport)  # type: ignore[arg-type]  # noqa: SLF001 - two halves of one object

    def pause_writing(self) -> None:
        self._channel._press()  # noqa: SLF001

    def resume_writing(self) -> None:
        self._channel._relieve()  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                self._channel._receive(kind, payload)  # noqa: SLF001
        except frames.FrameError as error:
            self._channel._lose(error)  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel._lose(exc)  # noqa: SLF001


class LedgerChannel:
    """A connection to the writer. Use `connect`; not for use from several threads."""

    def __init__(
        self, *, on_control: Callable[[int, bytes], None], on_lost: Callable[[Exception], None]
    ) -> None:
        self.origin = ""
        """The control log's origin."""
        self.last_refusal = ""
        """Why the writer last refused a traffic entry."""
        self.crowded = False
        """Whether the writer is behind: who can wait with an admission does, until `on_room` is called."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when it is not crowded any more."""
        self._on_control = on_control
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._tree = CompactRange()
        self._root: str | None = None
        self._transport: asyncio.Transport | None = None
        self._lost: Exception | None = None
        self._closing = False
        self._parts: list[bytes] = []
        self._queued = 0  # bytes of notes in this turn
        self._evidence = 0  # and of evidence
        self._full = False  # the transport holds all that it should
        self._scheduled = False
        self._fresh = 0  # admitted since the last write
        self._expected = 0  # how many the last acknowledgement let go on
        self._turns = 0
        self._note_timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Callable[[bool], None]] = deque()
        self._requests: dict[int, asyncio.Future[list[int]]] = {}
        self._request = 0
        self._target = -1
        self._caught_up: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls,
        socket_path: str,
        *,
        actor: str,
        on_control: Callable[[int, bytes], None],
        on_lost: Callable[[Exception], None],
    ) -> LedgerChannel:
        """Connect, and return once the whole control log has been handed to `on_control(index, entry)`.

        Afterwards `on_control` follows live. `on_lost(error)` is called once, if the writer is lost later.
        Raises LedgerLostError if the writer cannot be reached.
        """
        channel = cls(on_control=on_control, on_lost=on_lost)
        try:
            await channel._loop.create_unix_connection(lambda: _Protocol(channel), socket_path)
        except OSError as error:
            raise LedgerLostError(
                "the ledger writer cannot be reached", hint="is the deployment up?"
            ) from error
        channel._write(frames.json_frame(frames.HELLO, {"v": frames.VERSION, "actor": actor, "follow": True}))
        await channel._caught_up
        return channel

    @property
    def control_size(self) -> int:
        """Control entries handed to `on_control` so far."""
        return self._tree.size

    @property
    def control_root(self) -> str:
        """The root hash of the control log of `control_size`, hexadecimal."""
        if self._root is None:
            self._root = self._tree.root().hex()
        return self._root

    # The hot path

    def admit(self, entry: bytes, evidence: bytes, done: Callable[[bool], None]) -> None:
        """Queue a traffic entry with its evidence (`salt || plaintext`, or empty).

        `done(True)` once both are durable; `done(False)` if they were refused or the writer was lost,
        possibly within this very call.
        """
        if self._lost is not None or len(self._waiting) >= MAX_WAITING or len(entry) > MAX_ENTRY_BYTES:
            done(False)
            return
        self._parts += (_pack_item(0, len(entry), len(evidence)), entry, evidence)
        self._waiting.append(done)
        self._fresh += 1
        self._evidence += len(evidence)
        if self._evidence > CROWDED_BYTES or len(self._waiting) > CROWDED_WAITING:
            self.crowded = True
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._gather)

    def _gather(self) -> None:
        """Write what was admitted, or wait a few turns of the loop for company.

        Whoever the last acknowledgement let go on is likely to come back at once: one group for all of them
        costs the disk and two processes much less than one for the first and one for the rest.
        """
        if 0 < self._fresh < self._expected and self._turns < GATHER_TURNS:
            self._turns += 1
            self._loop.call_soon(self._gather)
        else:
            self._flush()

    def note(self, entry: bytes) -> None:
        """Queue a traffic entry that nobody waits for; it goes out with the next flush, within 50 ms."""
        if self._lost is not None or len(entry) > MAX_ENTRY_BYTES:
            return
        self._parts += (_pack_item(frames.NO_ANSWER, len(entry), 0), entry)
        self._queued += len(entry)
        if self._queued > NOTE_BYTES and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        elif not self._scheduled and self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_DELAY_SECONDS, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._fresh = self._turns = 0
        if self._note_timer is not None:
            self._note_timer.cancel()
            self._note_timer = None
        parts, self._parts = self._parts, []
        self._queued = self._evidence = 0
        transport = self._transport
        if not parts or transport is None or self._lost is not None:
            return
        payload = b"".join(parts)
        transport.write(frames.HEADER.pack(len(payload), frames.TRAFFIC) + payload)
        if transport.get_write_buffer_size() > MAX_QUEUED_BYTES:
            self._lose(LedgerLostError("the ledger writer does not keep up"))
        elif self.crowded:
            self._loop.call_soon(self._look)

    # Appends that are awaited

    async def append(
        self,
        entries: Sequence[bytes],
        *,
        condition: Condition | None = None,
        blobs: Sequence[bytes] = (),
    ) -> list[int]:
        """Append control entries, all or none; gives their indices once durable and told to `on_control`.

        Raises ConditionFailedError, RefusedError, LedgerLostError.
        """
        self._require()
        self._request += 1
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._requests[self._request] = future
        self._flush()
        demanded = None if condition is None else (tuple(condition.keys), condition.since)
        payload = frames.append_payload(self._request, list(entries), list(blobs), demanded)
        self._write(frames.frame(frames.APPEND, payload))
        return await future

    async def put_traffic(self, entry: bytes, evidence: bytes = b"") -> None:
        """Append one traffic entry and wait until it is durable; raises RefusedError, LedgerLostError."""
        self._require()
        future: asyncio.Future[bool] = self._loop.create_future()
        self.admit(entry, evidence, lambda durable: None if future.done() else future.set_result(durable))
        if not await future:
            self._require()
            raise RefusedError(self.last_refusal or "the ledger writer refused the entry")

    def close(self) -> None:
        """Send what is queued and hang up; `on_lost` is not called."""
        self._closing = True
        self._flush()
        if self._transport is not None:
            self._transport.close()

    # What the writer says

    def _attach(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=CROWDED_BYTES, low=CROWDED_BYTES // 4)

    def _press(self) -> None:
        self._full = self.crowded = True

    def _relieve(self) -> None:
        self._full = False
        self._look()

    def _look(self) -> None:
        """Whether there is room again."""
        if (
            self.crowded
            and not self._full
            and self._evidence <= CROWDED_BYTES
            and len(self._waiting) <= CROWDED_WAITING // 2
            and self._lost is None
        ):
            self.crowded = False
            self.on_room()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _require(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind == frames.ACK:
            pop = self._waiting.popleft
            acknowledged = 0
            for count, durable in frames.read_ack(payload):
                if count > len(self._waiting):
                    raise frames.FrameError("more was acknowledged than was sent")
                for _ in range(count):
                    pop()(durable)
                acknowledged += count
            self._expected = acknowledged
            if self.crowded:
                self._look()
        elif kind == frames.CONTROL:
            self._control(payload)
        elif kind == frames.REPLY:
            self._reply(payload)
        elif kind == frames.REFUSED:
            self.last_refusal = str(frames.read_json(payload).get("message", ""))
        elif kind == frames.WELCOME:
            welcome = frames.read_json(payload)
            self.origin, self._target = str(welcome.get("origin", "")), int(welcome.get("control_size", 0))
            self._check_caught_up()
        elif kind == frames.FAILED:
            failed = frames.read_json(payload)
            self._lose(JournalError(str(failed.get("message", "")), hint=str(failed.get("hint", ""))))
        else:
            raise frames.FrameError("a frame of an unknown kind")

    def _control(self, payload: bytes) -> None:
        first, entries = frames.read_control(payload)
        if first != self._tree.size:
            raise frames.FrameError("the control log was told with a gap")
        for index, entry in enumerate(entries, start=first):
            self._on_control(index, entry)
        for entry in entries:
            self._tree.append(leaf_hash(entry))
        self._root = None
        self._check_caught_up()

    def _check_caught_up(self) -> None:
        if 0 <= self._target <= self._tree.size and not self._caught_up.done():
            self._caught_up.set_result(None)

    def _reply(self, payload: bytes) -> None:
        request, value = frames.read_reply(payload)
        future = self._requests.pop(request, None)
        if future is None or future.done():
            return
        if value.get("ok") is True:
            future.set_result(list(value.get("indices", ())))
            return
        kind = ConditionFailedError if value.get("condition") is True else RefusedError
        future.set_exception(kind(str(value.get("message", "")), hint=str(value.get("hint", ""))))

    def _lose(self, reason: Exception | None) -> None:
        if self._lost is not None:
            return
        if isinstance(reason, JournalError | LedgerLostError):
            lost: Exception = reason
        else:
            lost = LedgerLostError(
                "the ledger writer is gone", hint="nothing more is released until it is back"
            )
        self._lost = lost
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for done in waiting:
            done(False)
        requests, self._requests = self._requests, {}
        for future in requests.values():
            if not future.done():
                future.set_exception(lost)
        if not self._caught_up.done():
            self._caught_up.set_exception(lost)
        elif not self._closing:
            self._on_lost(lost)
