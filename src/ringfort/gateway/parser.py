"""The parser process: reads hostile texts with PostgreSQL's C grammar, so that no worker ever does.

    python -m ringfort.gateway.parser        {"socket": path, "readers": 2, "statement_seconds": 2.0} on stdin

It holds no secret and serves one operation on a unix socket (gateway/ipc.py):

    verdict {sql, profile_surface: {relations, schema, columns}} -> the fields of a `statements.Verdict`

The process itself never parses. It keeps `readers` child processes (`--reader`) that do, each under limits of
memory, CPU time, files and rights, and hands each text to a free one. A reader that crashes, or does not
answer within `statement_seconds`, is killed and replaced: a hostile text costs one refused statement.
Verdicts are remembered by exact text and surface, such refusals for a minute, so that the same text costs
nothing again.

Invariants: no answer means refused; a reader gets one text at a time and one that was given up is never heard
again, so an answer is always that of the text; both kinds of process die with their parent.
Left out: fairness between sessions; the worker bounds how many statements wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import math
import os
import resource
import signal
import struct
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from ringfort.disclosure.statements import Surface, Verdict, judge
from ringfort.errors import ConfigurationError, RingfortError, UsageError
from ringfort.gateway.ipc import MAX_FRAME, IpcServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATEMENT_SECONDS: Final = 2.0
READERS: Final = 2
READER_MEMORY_BYTES: Final = 1024 * 1024 * 1024
REMEMBERED: Final = 4096
SURFACES_PER_READER: Final = 64
GIVEN_UP_SECONDS: Final = 60.0
_LENGTH = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

TOO_SLOW: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="54001",
    reason="the statement could not be read in the time and memory allowed",
    hint="simplify or split it",
)

NOT_UTF8: Final = Verdict(
    allowed=False,
    kind="utility",
    sqlstate="22021",
    reason="the text of the statement is not valid UTF-8",
    hint="send UTF-8",
)


class ReaderLostError(RingfortError):
    """A reader crashed, was killed by its limits, or did not answer in time."""

    default_sqlstate = "54001"  # statement_too_complex


class TextReader(Protocol):
    """What reads one text at a time for the parser."""

    @property
    def running(self) -> bool:
        """Whether it can be given a text."""
        ...

    async def start(self) -> None:
        """Get ready to read."""
        ...

    async def read(
        self, sql: str, surface_key: str, surface: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        """The verdict on `sql`; raises `ReaderLostError`, after which this reader must be replaced."""
        ...

    async def stop(self) -> None:
        """End it; returns when it is gone."""
        ...


class Reader:
    """One reading child process, seen from the parser process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._surfaces: set[str] = set()

    async def start(self) -> None:
        """Start it; returns when it is ready to read."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ringfort.gateway.parser",
            "--reader",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_plain_environment(),
        )
        await self._receive()

    @property
    def running(self) -> bool:
        """Whether it can be given a text."""
        return self._process is not None and self._process.returncode is None

    async def read(
        self, sql: str, surface_key: str, surface: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        """The verdict on `sql`; raises `ReaderLostError`, after which this reader must be replaced."""
        request: dict[str, Any] = {"sql": sql, "key": surface_key, "seconds": seconds}
        if surface_key not in self._surfaces:
            if len(self._surfaces) >= SURFACES_PER_READER:
                self._surfaces.clear()
                request["forget"] = True
            request["surface"] = surface
            self._surfaces.add(surface_key)
        try:
            async with asyncio.timeout(seconds):
                await self._send(request)
                return await self._receive()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError):
            raise ReaderLostError("a statement could not be read") from None

    async def _send(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise ReaderLostError("a reader is not running")
        body = orjson.dumps(message)
        process.stdin.write(_LENGTH.pack(len(body)) + body)
        await process.stdin.drain()

    async def _receive(self) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdout is None:
            raise ReaderLostError("a reader is not running")
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(4))
        if length > MAX_FRAME:
            raise ReaderLostError("a reader answered out of measure")
        value = orjson.loads(await process.stdout.readexactly(length))
        if not isinstance(value, dict):
            raise ReaderLostError("a reader answered out of form")
        return value

    async def stop(self) -> None:
        """Kill it and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        transport = getattr(process, "_transport", None)
        if transport is not None:  # else its pipes would be closed by the garbage collector, with a warning
            transport.close()


class Parser:
    """Verdicts by way of readers. `verdict` may be called many times at once."""

    def __init__(
        self,
        *,
        readers: int = READERS,
        statement_seconds: float = STATEMENT_SECONDS,
        make_reader: Callable[[], TextReader] = Reader,
    ) -> None:
        self._make_reader = make_reader
        self._count = readers
        self._seconds = statement_seconds
        self._free: asyncio.Queue[TextReader] = asyncio.Queue()
        self._all: set[TextReader] = set()
        self._remembered: OrderedDict[bytes, dict[str, Any]] = OrderedDict()
        self._given_up: dict[bytes, float] = {}
        self._reading: dict[bytes, asyncio.Future[dict[str, Any]]] = {}

    async def start(self) -> None:
        """Start the readers."""
        for _ in range(self._count):
            reader = self._make_reader()
            self._all.add(reader)
            await reader.start()
            self._free.put_nowait(reader)

    async def stop(self) -> None:
        """Kill the readers."""
        for reading in self._reading.values():
            reading.cancel()
        for reader in list(self._all):
            await reader.stop()
        self._all.clear()

    async def handle(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        """An IPC request."""
        if op != "verdict":
            raise UsageError(f"the parser knows no `{op}`", hint="it knows `verdict`")
        sql = request.get("sql")
        surface = request.get("profile_surface", request.get("surface"))
        if not isinstance(sql, str) or not isinstance(surface, dict) or "relations" not in surface:
            raise UsageError("`verdict` needs `sql` and `profile_surface`")
        return await self.verdict(sql, surface)

    async def verdict(self, sql: str, surface: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict on `sql` for `surface`, as `Verdict.to_json` gives it. Refused if it cannot be read."""
        surface_key = hashlib.sha256(orjson.dumps(surface, option=orjson.OPT_SORT_KEYS)).hexdigest()
        try:
            key = hashlib.sha256(surface_key.encode() + sql.encode("utf-8")).digest()
        except UnicodeEncodeError:
            return NOT_UTF8.to_json()
        known = self._remembered.get(key)
        if known is not None:
            self._remembered.move_to_end(key)
            return known
        if self._given_up.get(key, 0.0) > asyncio.get_running_loop().time():
            return TOO_SLOW.to_json()
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.ensure_future(self._read(key, sql, surface_key, surface))
            self._reading[key] = reading
        # a caller that goes away leaves the reading alone: half an answer must not stay in a reader's pipe
        return await asyncio.shield(reading)

    async def _read(
        self, key: bytes, sql: str, surface_key: str, surface: Mapping[str, Any]
    ) -> dict[str, Any]:
        reader = await self._free.get()
        try:
            if not reader.running:
                reader = await self._replace(reader)
            try:
                answer = await reader.read(sql, surface_key, surface, self._seconds)
            except ReaderLostError:
                self._give_up(key)
                reader = await self._replace(reader)
                return TOO_SLOW.to_json()
        finally:
            self._free.put_nowait(reader)
            del self._reading[key]
        self._remembered[key] = answer
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return answer

    def _give_up(self, key: bytes) -> None:
        """Not for good: what ended the reader may have had nothing to do with the text."""
        if len(self._given_up) >= REMEMBERED:
            self._given_up.clear()
        self._given_up[key] = asyncio.get_running_loop().time() + GIVEN_UP_SECONDS

    async def _replace(self, lost: TextReader) -> TextReader:
        self._all.discard(lost)
        await lost.stop()
        reader = self._make_reader()
        self._all.add(reader)
        await reader.start()
        return reader


def _plain_environment() -> dict[str, str]:
    """What a reader needs to find Python and this package, and nothing else."""
    names = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in names if name in os.environ}


# -- processes -----------------------------------------------------------------------------------------------


def _die_with_parent() -> None:
    """Ask the kernel to end this process with its parent, and give up the way to further rights (Linux)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        os._exit(1)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _confine_reader() -> None:
    """No core dumps, no files to write, few descriptors, bounded memory."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 16)
    _limit(resource.RLIMIT_AS, READER_MEMORY_BYTES)


def _allow_cpu(seconds: float) -> None:
    """A limit of CPU time for the next text, in case that the parent does not kill us in time."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds + 1)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def run_reader() -> None:
    """Read texts on standard input, one at a time, until it ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    surfaces: dict[str, Surface] = {}
    judge("SELECT 1", Surface(frozenset()))  # loads the grammar before the limits are drawn
    _confine_reader()
    answer: dict[str, Any] = {"ready": True}
    while True:
        body = orjson.dumps(answer)
        sink.write(_LENGTH.pack(len(body)) + body)
        sink.flush()
        head = source.read(4)
        if len(head) < 4:
            return
        request = orjson.loads(source.read(_LENGTH.unpack(head)[0]))
        if request.get("forget"):
            surfaces.clear()
        if "surface" in request:
            surfaces[request["key"]] = Surface.from_json(request["surface"])
        _allow_cpu(request["seconds"])
        answer = judge(request["sql"], surfaces[request["key"]]).to_json()


async def serve(config: Mapping[str, Any]) -> None:
    """Serve until SIGTERM; says `{"ready": true}` on standard output when it does."""
    unknown = sorted(set(config) - {"socket", "readers", "statement_seconds"})
    if unknown or not isinstance(config.get("socket"), str):
        raise ConfigurationError(
            f"the parser's configuration has an unknown `{unknown[0]}`"
            if unknown
            else "the parser's configuration has no `socket`"
        )
    parser = Parser(
        readers=int(config.get("readers", READERS)),
        statement_seconds=float(config.get("statement_seconds", STATEMENT_SECONDS)),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = IpcServer(config["socket"], parser.handle)
    try:
        await parser.start()
        await server.start()
        sys.stdout.write(json.dumps({"ready": True, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await server.stop()
        await parser.stop()


def main() -> int:
    """The process. Exit code 0 after SIGTERM, else that of the error."""
    if sys.argv[1:] == ["--reader"]:
        run_reader()
        return 0
    _die_with_parent()
    _limit(resource.RLIMIT_CORE, 0)
    try:
        asyncio.run(serve(json.loads(sys.stdin.buffer.read())))
    except RingfortError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = [
    "NOT_UTF8",
    "TOO_SLOW",
    "Parser",
    "Reader",
    "ReaderLostError",
    "TextReader",
    "main",
    "run_reader",
    "serve",
]
