"""The writer: the one process that holds the ledger key and writes the ledger.

A single-threaded epoll loop. It reads what all clients have sent, stages it, makes it durable with one
journal write and one sync, and only then answers; while it syncs, the next group gathers in the sockets.
Rounds of publication run in a thread and stall no group. If the journal cannot be written, nothing is
acknowledged, every client is told, and the process ends: record, then release.

    python -m ringfort.record.writer    with JSON on standard input:
    {"folder": "DIR/state/ledger", "socket": path, "origin": text, "key": base64 seed,
     "evidence_public": base64 X25519 public key, "merge_delay_seconds": 5.0,
     "control_staleness_seconds": 10.0}

Readiness: {"ready": true, "socket": path, "origin": text, "vkey": the control log's verifier key}. See
`frames`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import os
import queue
import selectors
import signal
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any, cast

from ringfort import process
from ringfort.errors import RingfortError, UsageError
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition
from ringfort.public_keys import x25519_fault
from ringfort.record import frames
from ringfort.record.core import ROUND_BYTES, LedgerCore, LedgerSettings, Publication
from ringfort.record.errors import JournalError, RecordError
from ringfort.record.lock import FolderLock
from ringfort.record.open_work import OpenWork
from ringfort.system import SystemClock, SystemRandomness

LOG = logging.getLogger(__name__)
READ_BYTES = 1 << 18
MAX_GROUP_BYTES = 8 << 20
MAX_OUTGOING_BYTES = 64 << 20
FOLLOW_BYTES = 1 << 18
MAX_CLIENTS = 1_024
SLOW_SECONDS = 1.0


class Client:
    """One connection: what came in, what goes out, how far it has been told the control log."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.reader = frames.FrameReader()
        self.out = bytearray()
        self.runs: list[list[int]] = []  # answers of this group: [count, durable]
        self.refusals: list[bytes] = []
        self.replies: list[bytes] = []
        self.welcomed = False
        self.follows = False
        self.cursor = 0
        self.backlog: list[tuple[int, bytes]] = []  # replies that wait until the control log is told
        self.closed = False
        self.work = OpenWork()

    def answer(self, durable: int) -> None:
        """Note the answer to one traffic item."""
        if self.runs and self.runs[-1][1] == durable:
            self.runs[-1][0] += 1
        else:
            self.runs.append([1, durable])


class Writer:
    """The loop around a `LedgerCore`. `start` binds, `serve` runs until `stop`."""

    def __init__(self, core: LedgerCore, socket_path: str) -> None:
        self.core = core
        self.path = socket_path
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, Client] = {}
        self._touched: dict[int, Client] = {}
        self._lost: list[OpenWork] = []  # what clients that are gone left open
        self._listener: socket.socket | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._stopping = False
        self._work: queue.SimpleQueue[Publication | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Publication, RecordError | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._publisher, name="publisher", daemon=True)
        self._round_running = False

    def start(self) -> None:
        """Listen on the socket (0600)."""
        with contextlib.suppress(FileNotFoundError):
            Path(self.path).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            listener.bind(self.path)
        except OSError as error:
            listener.close()
            raise RecordError(
                f"cannot listen at `{self.path}`: {(error.strerror or str(error)).lower()}"
            ) from None
        finally:
            os.umask(old)
        listener.listen(128)
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end; safe from a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"s")

    def serve(self) -> None:
        """Run until `stop`; then publish what waits. Raises the error that made the ledger unwritable."""
        try:
            while not self._stopping:
                self._turn()
            self._turn(block=False)
            self._finish_round()
            self.core.close()
        except RecordError as error:
            self._tell_failure(error)
            raise
        finally:
            self._close()

    # One turn of the loop

    def _turn(self, *, block: bool = True) -> None:
        for key, events in self._selector.select(self._patience() if block else 0):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                client = cast("Client", key.data)
                if events & selectors.EVENT_WRITE:
                    self._send(client)
                if events & selectors.EVENT_READ and not client.closed:
                    self._receive(client)
                    if self.core.staged_bytes > MAX_GROUP_BYTES:
                        break
        while self._lost:
            self.core.stage_lost(self._lost.pop())
        self._commit()
        self._rounds()

    def _patience(self) -> float | None:
        if self._lost:
            return 0.0
        due = self.core.round_due()
        return None if due is None else max(0.0, due - time.monotonic())

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            if len(self._clients) >= MAX_CLIENTS or not _same_user(connection):
                connection.close()
                return
            connection.setblocking(False)
            client = Client(connection)
            self._clients[connection.fileno()] = client
            self._selector.register(connection, selectors.EVENT_READ, client)

    def _receive(self, client: Client) -> None:
        try:
            data = client.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        self._touched[client.socket.fileno()] = client
        try:
            for kind, payload in client.reader.feed(data):
                self._handle(client, kind, payload)
        except frames.FrameError as error:
            LOG.warning("a client was cut off: %s", error, extra={"event": "ledger-client-cut-off"})
            self._drop(client)

    def _handle(self, client: Client, kind: int, payload: bytes) -> None:
        if kind == frames.TRAFFIC and client.welcomed:
            self._traffic(client, payload)
        elif kind == frames.APPEND and client.welcomed:
            self._append(client, payload)
        elif kind == frames.HELLO and not client.welcomed:
            hello = frames.read_json(payload)
            if hello.get("v") != frames.VERSION:
                raise frames.FrameError("another version of the protocol")
            client.welcomed = True
            client.follows = hello.get("follow") is True
            client.out += frames.json_frame(
                frames.WELCOME,
                {
                    "v": frames.VERSION,
                    "origin": self.core.control.origin,
                    "control_size": self.core.durable_control,
                },
            )
        else:
            raise frames.FrameError("a frame that does not belong here")

    def _traffic(self, client: Client, payload: bytes) -> None:
        stage = self.core.stage_traffic
        for flags, entry, evidence in frames.traffic_items(payload):
            durable = 1
            try:
                stage(entry, evidence, client.work)
            except JournalError:
                raise
            except RingfortError as error:
                durable = 0
                LOG.error("a traffic entry was refused: %s", error, extra={"event": "traffic-refused"})
                if len(client.refusals) < 16:
                    client.refusals.append(
                        frames.json_frame(frames.REFUSED, {"message": error.message, "hint": error.hint})
                    )
            if not flags & frames.NO_ANSWER:
                client.answer(durable)

    def _append(self, client: Client, payload: bytes) -> None:
        request, entries, blobs, condition = frames.read_append(payload)
        try:
            indices = self.core.stage_control(
                entries, condition=None if condition is None else Condition(*condition), blobs=blobs
            )
        except JournalError:
            raise
        except RingfortError as error:
            value: dict[str, Any] = {
                "ok": False,
                "condition": isinstance(error, ConditionFailedError),
                "message": error.message,
                "hint": error.hint,
            }
        else:
            value = {"ok": True, "indices": indices}
            client.work.appended(entries)
        client.replies.append(frames.reply(request, value))

    def _commit(self) -> None:
        """Make the group durable, then answer."""
        grown = self.core.durable_control
        begun = time.monotonic()
        self.core.commit(settle=False)
        _note_slow("a group of entries", begun)
        told = self._touched
        if self.core.durable_control != grown:
            told = {**{fd: each for fd, each in self._clients.items() if each.follows}, **told}
        self._touched = {}
        for client in told.values():
            if not client.closed:
                self._answer(client)
        self.core.settle()  # while those who were answered go on

    def _answer(self, client: Client) -> None:
        out = client.out
        for each in client.refusals:
            out += each
        if client.runs:
            out += frames.ack([(count, bool(durable)) for count, durable in client.runs])
        client.refusals, client.runs = [], []
        self._follow(client)
        if client.replies:
            size = self.core.durable_control
            client.backlog += [(size, each) for each in client.replies]
            client.replies = []
        self._release_backlog(client)
        self._send(client)

    def _follow(self, client: Client) -> None:
        """Tell the control log as far as there is room."""
        while client.follows and client.cursor < self.core.durable_control and len(client.out) < FOLLOW_BYTES:
            entries = self.core.control_entries(client.cursor)
            client.out += frames.control_frame(client.cursor, entries)
            client.cursor += len(entries)

    def _release_backlog(self, client: Client) -> None:
        while client.backlog and (not client.follows or client.cursor >= client.backlog[0][0]):
            client.out += client.backlog.pop(0)[1]

    def _send(self, client: Client) -> None:
        """Send what can be sent; a client that does not read is cut off."""
        while client.out:
            try:
                sent = client.socket.send(client.out)
            except BlockingIOError:
                break
            except OSError:
                self._drop(client)
                return
            del client.out[:sent]
            if not client.out:
                self._follow(client)
                self._release_backlog(client)
        if len(client.out) > MAX_OUTGOING_BYTES:
            LOG.warning(
                "a client that does not read its answers was cut off", extra={"event": "ledger-client-slow"}
            )
            self._drop(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        if self._selector.get_key(client.socket).events != events:
            self._selector.modify(client.socket, events, client)

    def _drop(self, client: Client) -> None:
        if client.closed:
            return
        client.closed = True
        self._selector.unregister(client.socket)
        self._clients.pop(client.socket.fileno(), None)
        client.socket.close()
        if client.work:
            self._lost.append(client.work)

    # Publication

    def _rounds(self) -> None:
        while not self._done.empty() or (self._round_running and self.core.pending_bytes > ROUND_BYTES):
            self._end_round()  # waits for the round if evidence comes faster than it is written
        if not self._round_running and (due := self.core.round_due()) is not None and due <= time.monotonic():
            grown = self.core.durable_control
            publication = self.core.begin_round()
            if publication is not None:
                self._round_running = True
                self._work.put(publication)
            self._tell_growth(grown)

    def _end_round(self) -> None:
        begun = time.monotonic()
        publication, error = self._done.get()
        _note_slow("waiting for a round of publication", begun)
        self._round_running = False
        if error is not None:
            raise error
        grown = self.core.durable_control
        self.core.end_round(publication)
        self._tell_growth(grown)

    def _tell_growth(self, size: int) -> None:
        """Tell who follows the control log that it has grown beyond `size`, if it has."""
        if self.core.durable_control != size:
            for client in [each for each in self._clients.values() if each.follows]:
                self._answer(client)

    def _finish_round(self) -> None:
        if self._round_running:
            self._end_round()

    def _publisher(self) -> None:
        while (publication := self._work.get()) is not None:
            error: RecordError | None = None
            try:
                self.core.publish(publication)
            except RecordError as raised:
                error = raised
            except Exception as raised:  # noqa: BLE001 - whatever it is, the loop has to hear of it
                error = RecordError(f"publication failed: {type(raised).__name__}")
                self.core.failed = error
            if error is not None:
                LOG.error("nothing is published at present: %s", error, extra={"event": "publication-failed"})
            self._done.put((publication, error))
            with contextlib.suppress(OSError):
                os.write(self._wake_write, b"r")

    # The end

    def _tell_failure(self, error: RecordError) -> None:
        said = frames.json_frame(frames.FAILED, {"message": error.message, "hint": error.hint})
        for client in list(self._clients.values()):
            with contextlib.suppress(OSError):
                client.socket.setblocking(True)
                client.socket.settimeout(0.2)
                client.socket.sendall(bytes(client.out) + said)

    def _close(self) -> None:
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        for client in list(self._clients.values()):
            self._drop(client)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            with contextlib.suppress(FileNotFoundError):
                Path(self.path).unlink()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def _note_slow(what: str, begun: float) -> None:
    took = time.monotonic() - begun
    if took > SLOW_SECONDS:
        LOG.warning("%s took %.1f s: sessions waited for it", what, took, extra={"event": "ledger-slow"})


def _same_user(connection: socket.socket) -> bool:
    """Whether the peer runs as this user (or as root)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in {os.getuid(), 0}


def settings_of(config: dict[str, Any]) -> LedgerSettings:
    """The settings in a process configuration; raises UsageError naming what is wrong."""
    try:
        evidence_public = base64.b64decode(config.get("evidence_public", ""), validate=True)
        if evidence_public and (fault := x25519_fault(evidence_public)):
            raise UsageError(
                f"`evidence_public` {fault}", hint="it is the public half of `secrets/evidence.key`"
            )
        return LedgerSettings(
            folder=Path(config["folder"]),
            origin=str(config["origin"]),
            seed=base64.b64decode(config["key"], validate=True),
            evidence_public=evidence_public,
            merge_delay=float(config.get("merge_delay_seconds", 5.0)),
            control_staleness=float(config.get("control_staleness_seconds", 10.0)),
            segment_bytes=int(config.get("segment_bytes", 32 << 20)),
        )
    except KeyError as error:
        raise UsageError(f"the configuration has no `{error.args[0]}`") from None
    except (TypeError, ValueError, binascii.Error):
        raise UsageError("the configuration has a value of the wrong type") from None


def run(config: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = settings_of(config)
    socket_path = config.get("socket")
    if not isinstance(socket_path, str) or not socket_path:
        raise UsageError("the configuration has no `socket`")
    lock = FolderLock(settings.folder)
    try:
        core = LedgerCore(settings, clock=SystemClock(), randomness=SystemRandomness())
        core.open()
        writer = Writer(core, socket_path)
        writer.start()
        lock.announce(socket_path)
        signal.signal(signal.SIGTERM, lambda *_: writer.stop())
        signal.signal(signal.SIGINT, lambda *_: writer.stop())
        process.ready(socket=socket_path, origin=core.control.origin, vkey=core.control.vkey)
        writer.serve()
    finally:
        lock.close()


if __name__ == "__main__":
    process.main(run)
