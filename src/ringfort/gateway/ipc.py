"""Local calls between our own processes: framed JSON over a unix stream socket.

A frame is `u32 big-endian length | JSON object`, at most 4 MiB of JSON. A request is `{"id": n, "op": "...",
...}`; its answer `{"id": n, "ok": true, ...}` or `{"id": n, "ok": false, "message", "hint", "sqlstate"}`.
Requests on one connection may overlap and are answered in the order in which they finish. A server that says
so takes `{"op": "cancel", "of": n}` for "nobody waits for request n any more" and answers neither.

Invariants: the socket file is 0600 before anybody can connect, and both ends check that the peer runs as the
same user (SO_PEERCRED). A frame that is too long or no JSON object ends the connection. An exception that is
no `RingfortError` reaches the peer as `internal error` only: its text might carry a data value.
Left out: any encryption or authentication beyond the operating system's; nothing here leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, Any, cast

import orjson

from ringfort.errors import MissingEnvironmentError, RingfortError
from ringfort.logs import slowly

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]

LOG = logging.getLogger(__name__)
MAX_FRAME = 4 * 1024 * 1024
MAX_IN_FLIGHT = 256
DEFAULT_TIMEOUT = 10.0
_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("3i")


class IpcError(RingfortError):
    """A call to another process of ours did not succeed."""

    default_sqlstate = "58000"  # system_error


class IpcLostError(IpcError):
    """The peer is not there, or went away before it answered. The next request connects anew."""

    default_sqlstate = "57P03"  # cannot_connect_now


class IpcTimeoutError(IpcError):
    """The peer did not answer in time. The connection stays; a late answer is dropped."""

    default_sqlstate = "57P03"  # cannot_connect_now


class RemoteError(IpcError):
    """The peer refused: message, hint and SQLSTATE are its own."""


class FrameError(IpcError):
    """What came is no frame of this protocol; the connection ends."""

    default_sqlstate = "08P01"  # protocol_violation


def encode_frame(message: dict[str, Any]) -> bytes:
    """One frame; raises `FrameError` if the message is longer than `MAX_FRAME` or not JSON."""
    try:
        body = orjson.dumps(message)
    except TypeError:
        raise FrameError("a message between our processes cannot be written as JSON") from None
    if len(body) > MAX_FRAME:
        raise FrameError(f"a message between our processes is longer than {MAX_FRAME} bytes")
    return _LENGTH.pack(len(body)) + body


def refusal(number: object, error: RingfortError) -> bytes:
    """The answer to request `number` that says `error`."""
    return encode_frame(
        {
            "id": number,
            "ok": False,
            "message": error.message,
            "hint": error.hint,
            "sqlstate": error.sqlstate,
        }
    )


class FrameReader:
    """Bytes in, messages out; pure. Bytes may be cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that `data` completes; raises `FrameError` on anything malformed."""
        self._buffer += data
        messages: list[dict[str, Any]] = []
        start = 0
        while len(self._buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME:
                raise FrameError(f"a frame between our processes is longer than {MAX_FRAME} bytes")
            if len(self._buffer) - start - 4 < length:
                break
            try:
                message = orjson.loads(memoryview(self._buffer)[start + 4 : start + 4 + length])
            except orjson.JSONDecodeError:
                raise FrameError("a frame between our processes is no JSON") from None
            if not isinstance(message, dict):
                raise FrameError("a frame between our processes is no JSON object")
            messages.append(message)
            start += 4 + length
        if start:
            del self._buffer[:start]
        return messages


def same_user(transport: asyncio.BaseTransport) -> bool:
    """Whether the process at the other end of a unix socket runs as our user."""
    return runs_as_us(transport.get_extra_info("socket"))


def runs_as_us(peer: socket.socket) -> bool:
    """The same of a connected socket."""
    packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return cast("int", _CREDENTIALS.unpack(packed)[1]) == os.getuid()


class IpcClient:
    """Requests to one server. Connects at the first request, and again after a loss.

    A request that was in flight when the connection was lost raises `IpcLostError` and is never repeated:
    whether the peer acted on it is not known here. With `cancels` the peer is told of a request that was
    cancelled or timed out here, so that it need not work on it; the server must know that word. `slow` names
    the peer in log lines about requests that take longer than a second; without it there are none.
    """

    def __init__(
        self, path: str, *, timeout: float = DEFAULT_TIMEOUT, cancels: bool = False, slow: str = ""
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._cancels = cancels
        self._slow = slow
        self._connection: _ClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._last_id = 0

    async def request(self, op: str, *, timeout: float | None = None, **fields: Any) -> dict[str, Any]:  # noqa: ANN401, ASYNC109 - JSON values; the caller's deadline covers connecting and answer
        """Call `op` with `fields`; the answer's fields without `id` and `ok`.

        `timeout` is in seconds (None: the client's). Raises `RemoteError` if the peer refused,
        `IpcTimeoutError`, `IpcLostError`, or `FrameError` if the request is too long.
        """
        self._last_id += 1
        number = self._last_id
        frame = encode_frame({**fields, "id": number, "op": op})
        connection: _ClientConnection | None = None
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                connection = await self._connected()
                answering = connection.call(number, frame)
                if self._slow:
                    answering = slowly(answering, f"{self._slow} (`{op}`)")
                answer = await answering
        except TimeoutError:
            raise IpcTimeoutError(f"`{op}` was not answered in time", hint="try again") from None
        finally:
            unanswered = connection is not None and connection.waiting.pop(number, None) is not None
            if connection is not None and unanswered and self._cancels:
                connection.tell(encode_frame({"op": "cancel", "of": number}))
        if answer.pop("ok", None) is True:
            return answer
        raise RemoteError(
            str(answer.get("message", "refused without a message")),
            hint=str(answer.get("hint", "")),
            sqlstate=str(answer.get("sqlstate", "")),
        )

    async def _connected(self) -> _ClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.lost is not None:
                try:
                    _, self._connection = await asyncio.get_running_loop().create_unix_connection(
                        _ClientConnection, self.path
                    )
                except OSError as error:
                    raise IpcLostError(
                        f"a process of ours cannot be reached: {error.strerror or type(error).__name__}",
                        hint="is `ringfort up` still running?",
                    ) from None
            return self._connection

    @property
    def connected(self) -> bool:
        """Whether there ever was a connection since the last `close`."""
        return self._connection is not None

    def close(self) -> None:
        """Close the connection; requests in flight raise `IpcLostError`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _ClientConnection(asyncio.Protocol):
    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.lost: IpcError | None = None
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not same_user(transport):
            self._end(IpcLostError("the process at the socket runs as another user"))

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.feed(data)
        except FrameError as error:
            self._end(error)
            return
        for message in messages:
            waiter = self.waiting.pop(message.pop("id", 0), None)
            if waiter is not None and not waiter.done():
                waiter.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._end(IpcLostError("a process of ours went away before it answered", hint="try again"))

    def _end(self, error: IpcError) -> None:
        if self.lost is None:
            self.lost = error
        for waiter in self.waiting.values():
            if not waiter.done():
                waiter.set_exception(self.lost)
        self.waiting.clear()
        if self._transport is not None:
            self._transport.abort()

    async def call(self, number: int, frame: bytes) -> dict[str, Any]:
        if self.lost is not None or self._transport is None:
            raise self.lost or IpcLostError("not connected")
        waiter: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[number] = waiter
        self._transport.write(frame)
        return await waiter

    def tell(self, frame: bytes) -> None:
        """Send what has no answer, if there is still somebody to hear it."""
        if self.lost is None and self._transport is not None:
            self._transport.write(frame)

    def close(self) -> None:
        self._end(IpcLostError("the connection was closed here"))


class IpcServer:
    """Answers requests at a unix socket with `handler(op, request) -> answer fields`.

    `in_flight`: how many requests of one connection may wait before it is not read on. `cancellable`: a
    handler may be cancelled because nobody waits for its answer.
    """

    def __init__(
        self, path: str, handler: Handler, *, in_flight: int = MAX_IN_FLIGHT, cancellable: bool = False
    ) -> None:
        self.path = path
        self.handler = handler
        self._in_flight = in_flight
        self._cancellable = cancellable
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_ServerConnection] = set()
        self._inode = 0

    async def start(self) -> None:
        """Listen. Raises `MissingEnvironmentError` if another process serves there, or the path is unfit."""
        listener = bind_private(self.path)
        self._inode = os.stat(self.path).st_ino  # noqa: PTH116 - one call, no Path needed
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _ServerConnection(
                self.handler, self._connections, self._in_flight, cancellable=self._cancellable
            ),
            sock=listener,
        )

    async def stop(self) -> None:
        """Stop listening, end every connection and remove the socket file if it is still ours."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.end()
        await self._server.wait_closed()
        self._server = None
        with contextlib.suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:  # noqa: PTH116
                os.unlink(self.path)  # noqa: PTH108


class _ServerConnection(asyncio.Protocol):
    def __init__(
        self, handler: Handler, connections: set[_ServerConnection], in_flight: int, *, cancellable: bool
    ) -> None:
        self._handler = handler
        self._connections = connections
        self._in_flight = in_flight
        self._cancellable: dict[object, asyncio.Task[None]] | None = {} if cancellable else None
        self._reader = FrameReader()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        if not same_user(transport):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.feed(data)
        except FrameError:
            self.end()
            return
        for message in messages:
            if self._cancellable is not None and message.get("op") == "cancel":
                self._cancel(message.get("of"))
                continue
            task = asyncio.ensure_future(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
            number = message.get("id")
            if self._cancellable is not None and isinstance(number, int):
                self._cancellable[number] = task
                task.add_done_callback(functools.partial(self._uncancellable, number))
        self._pace()

    def _cancel(self, number: object) -> None:
        task = self._cancellable.get(number) if self._cancellable and isinstance(number, int) else None
        if task is not None:
            task.cancel()

    def _uncancellable(self, number: int, task: asyncio.Task[None]) -> None:
        if self._cancellable is not None and self._cancellable.get(number) is task:
            del self._cancellable[number]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._connections.discard(self)
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        self._writable = False
        self._pace()

    def resume_writing(self) -> None:
        self._writable = True
        self._pace()

    def end(self) -> None:
        """Cut the connection off."""
        if self._transport is not None:
            self._transport.abort()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pace()

    def _pace(self) -> None:
        """Read on only while the peer takes its answers and does not flood us."""
        if self._transport is None or self._transport.is_closing():
            return
        reading = self._writable and len(self._tasks) < self._in_flight
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    async def _answer(self, request: dict[str, Any]) -> None:
        number = request.pop("id", None)
        op = request.pop("op", None)
        try:
            answer = await self._handler(op if isinstance(op, str) else "", request)
            frame = encode_frame({**answer, "id": number, "ok": True})
        except RingfortError as error:
            frame = refusal(number, error)
        except Exception as error:
            LOG.error("a fault of ours in `%s`", op, exc_info=error, extra={"event": "request-failed"})
            frame = encode_frame(
                {
                    "id": number,
                    "ok": False,
                    "message": "internal error",
                    "hint": "see the process's log",
                    "sqlstate": "XX000",
                }
            )
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)


def bind_private(path: str) -> socket.socket:
    """A bound socket, 0600 before it listens; a socket file that nobody serves is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear_stale(path)
        listener.bind(path)
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)  # noqa: PTH101
    except OSError as error:
        listener.close()
        raise MissingEnvironmentError(
            f"the socket `{path}` cannot be made: {error.strerror or error}",
            hint="the path must be shorter than 108 bytes and its folder ours",
        ) from None
    except RingfortError:
        listener.close()
        raise
    return listener


def _clear_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise MissingEnvironmentError(f"`{path}` is there and is no socket", hint="move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)  # noqa: PTH108
            return
    raise MissingEnvironmentError(
        f"another process serves at `{path}`", hint="stop the other `ringfort up` of this folder first"
    )


__all__ = [
    "DEFAULT_TIMEOUT",
    "MAX_FRAME",
    "FrameError",
    "FrameReader",
    "IpcClient",
    "IpcError",
    "IpcLostError",
    "IpcServer",
    "IpcTimeoutError",
    "RemoteError",
    "bind_private",
    "encode_frame",
    "refusal",
    "runs_as_us",
]
