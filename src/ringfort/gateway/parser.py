"""The parser process: reads hostile texts with PostgreSQL's C grammar, so that no worker ever does.

    python -m ringfort.gateway.parser        {"socket": path, "readers": 2, "statement_seconds": 2.0} on stdin

It holds no secret and serves one operation on a unix socket (gateway/ipc.py):

    verdict {sql, profile_surface: {relations, schema, columns}, principal, session}
        -> the fields of a `statements.Verdict`

The process itself never parses. It keeps `readers` child processes (`--reader`) that do, each under limits of
memory and CPU time, and confined to its two pipes (`confinement.py`). Which text is next, who is answered and
what is remembered is the pool's to say (`reader_pool.py`). A reader that crashes, or does not answer within
`statement_seconds`, is killed and replaced: a hostile text costs one refused statement.

Invariants: both kinds of process die with their parent; a reader is given one text at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import math
import os
import resource
import signal
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from ringfort import process
from ringfort.disclosure.statements import Surface, judge
from ringfort.errors import ConfigurationError
from ringfort.gateway.confinement import LANDLOCK, SECCOMP, confine
from ringfort.gateway.ipc import MAX_FRAME, IpcServer
from ringfort.gateway.reader_pool import READERS, STATEMENT_SECONDS, Parser, ReaderLostError

if TYPE_CHECKING:
    from collections.abc import Mapping

READER_MEMORY_BYTES: Final = 1024 * 1024 * 1024
SURFACES_PER_READER: Final = 64
IN_FLIGHT: Final = 8_192  # of one worker: its sessions have one text each, and the queue bounds what waits
LOG = logging.getLogger(__name__)
_LENGTH = struct.Struct(">I")
_PR_SET_NO_NEW_PRIVS = 38


class Reader:
    """One reading child process, seen from the parser process."""

    lacking: ClassVar[frozenset[str]] = frozenset()
    """Layers of confinement that this machine does not have."""

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
        ready = await self._receive()
        Reader.lacking = frozenset({LANDLOCK, SECCOMP} - set(ready.get("confined", ())))
        if Reader.lacking:
            LOG.warning(
                "the reader of texts is not confined by %s: this kernel does not have it",
                " and ".join(sorted(Reader.lacking)),
                extra={"event": "confinement"},
            )

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


def _plain_environment() -> dict[str, str]:
    """What a reader needs to find Python and this package, and nothing else."""
    names = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in names if name in os.environ}


_WARM_UP = (
    "SELECT 1",
    "SELECT a, count(*) FROM t WHERE a = 'x' GROUP BY a ORDER BY 1",
    "SELECT",
    "SELEKT 1",
    "SELECT 'ä', U&'\\00e4', 1e400, E'\\ud800'",
    "SELECT pg_sleep(1)",
    "SELECT set_config('search_path', 'x', false)",
    "SET TIME ZONE 'UTC'",
    "COPY t TO STDOUT",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR FOR SELECT a FROM t",
    "SELECT relname FROM pg_catalog.pg_class",
    "INSERT INTO t VALUES (1)",
    "DO $$ BEGIN END $$",
)


# -- processes -----------------------------------------------------------------------------------------------


def _give_up_rights() -> None:
    """Give up the way to further rights (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _confine_reader() -> None:
    """No core dumps, no files to write, few descriptors, bounded memory.

    Standard error is everybody's (a terminal, the log of `ringfort up`): nothing is said there any more.
    """
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)
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


def _warm_up() -> None:
    """Load what reading needs, the grammar first: nothing can be opened once the limits are drawn."""
    surface = Surface(frozenset({"t"}), "s", frozenset({"a"}))
    for text in _WARM_UP:
        judge(text, surface)


def run_reader() -> None:
    """Read texts on standard input, one at a time, until it ends."""
    process.die_with_parent()
    _give_up_rights()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    surfaces: dict[str, Surface] = {}
    _warm_up()
    _confine_reader()
    answer: dict[str, Any] = {"ready": True, "confined": confine()}
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
        make_reader=Reader,
        readers=int(config.get("readers", READERS)),
        statement_seconds=float(config.get("statement_seconds", STATEMENT_SECONDS)),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = IpcServer(config["socket"], parser.handle, in_flight=IN_FLIGHT, cancellable=True)
    try:
        await parser.start()
        await server.start()
        process.ready(pid=os.getpid(), lacking=sorted(Reader.lacking))
        await ended.wait()
    finally:
        await server.stop()
        await parser.stop()


def main() -> int:
    """The process: the parser itself, or one of its readers."""
    if sys.argv[1:] == ["--reader"]:
        run_reader()
        return 0
    _give_up_rights()
    _limit(resource.RLIMIT_CORE, 0)
    process.main(lambda config: asyncio.run(serve(config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = [
    "Reader",
    "main",
    "run_reader",
    "serve",
]
