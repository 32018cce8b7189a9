"""Worker processes of this machine, kept for a whole run: begun once, used by every stage and table.

Each is `python -m ringfort.transfer.worker` at the other end of a socket pair: nothing of this process's
memory or main module is taken along, and calls travel over the socket alone. Invariants: a worker that ends
before its call is done, and one that gives no sign of life for the stated time, end the run with a named
error that leaves everything to be gone on with; workers end when this process ends, however it ends; where
they cannot win (`reason_against`) they are not begun, and a note says so.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, TypeVar

from ringfort import interruption
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.transfer.calls import AGAIN, Begin, Call, Done, Sign, in_process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
MOST_WORKERS = 256
AHEAD = 2  # calls at a worker: the next one is there when one is done
START_SECONDS = 0.75  # of a processor for each worker: interpreter, imports, tables of its own
ROWS_A_SECOND = 1_400_000  # that a processor reduces, sorts, inspects and writes
ALONE_BUSY = 1.9  # processors that one process keeps busy, two parts at once; assumed, as is the next
WORKER_BUSY = 1.3  # that a worker does, a part at a time
LEAST_GAIN = 0.1  # below that workers are not worth their memory


@dataclass
class _Worker:
    """A worker: its process, our end of its socket, what it has been given and not answered."""

    process: subprocess.Popen[bytes]
    connection: Connection
    heard: float
    pending: set[int]


def predicted_seconds(workers: int, tasks: int, rows: int, processors: int) -> float:
    """How long it takes to reduce and write so many rows by so many workers (0: this process).

    By the model of the manual: one process keeps `ALONE_BUSY` processors busy and a worker `WORKER_BUSY`, of
    those that there are. Each worker costs its start, and the last round of tasks is as long as a task.
    """
    work = rows / ROWS_A_SECOND
    if not workers:
        return work / min(ALONE_BUSY, processors)
    used = min(workers, tasks)
    rounds = -(-tasks // used)
    return START_SECONDS * max(used / processors, 1.0) + max(
        work / min(used * WORKER_BUSY, processors), rounds * work / tasks / min(WORKER_BUSY, processors)
    )


def reason_against(workers: int, tasks: int, rows: int, processors: int) -> str:
    """Why workers would be slower than this process, "" if they would not be."""
    if tasks < 2:
        return "there is only one part"
    if processors < 2:
        return "there is only one processor"
    alone = predicted_seconds(0, tasks, rows, processors)
    if predicted_seconds(workers, tasks, rows, processors) > alone * (1 - LEAST_GAIN):
        return f"for {rows:,} rows on {processors} processors one process is as fast"
    return ""


class WorkerProcesses:
    """So many processes on this machine; `always` uses them even where one process would be as fast."""

    def __init__(self, count: int, *, silence_seconds: float = 60.0, always: bool = False) -> None:
        if not 1 <= count <= MOST_WORKERS:
            raise UsageError(f"the number of workers must be 1 to {MOST_WORKERS}")
        self._count = count
        self._silence = silence_seconds
        self._always = always
        self._workers: list[_Worker] = []
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever asked for workers should be told."""
        return tuple(self._notes)

    def run(
        self, function: Callable[[C, T], R], common: C, items: Sequence[T], *, rows: int
    ) -> Generator[R, None, None]:
        """The results in the order of the items."""
        processors = len(os.sched_getaffinity(0))
        against = reason_against(self._count, len(items), rows, processors)
        if against and not self._workers and not self._always:
            note = f"worker processes were not used: {against}"
            if note not in self._notes:
                self._notes.append(note)
            yield from in_process(function, common, items)
            return
        yield from self._shared(function, common, items, max(processors // self._count, 1))

    def close(self) -> None:
        """End the workers; they are begun anew if there is more to do."""
        workers, self._workers = self._workers, []
        for each in workers:
            each.connection.close()
            each.process.kill()  # what it was doing is done anew: nothing is kept but what it answered
        for each in workers:
            each.process.wait()

    def _begin(self, count: int) -> None:
        while len(self._workers) < count:
            with interruption.deferred():
                here, there = socket.socketpair()
                with there:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "ringfort.transfer.worker", str(there.fileno())],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=(there.fileno(),),
                        process_group=0,  # Ctrl-C is this process's to answer
                    )
                self._workers.append(_Worker(process, Connection(here.detach()), time.monotonic(), set()))

    def _shared(
        self, function: Callable[[C, T], R], common: C, items: Sequence[T], threads: int
    ) -> Generator[R, None, None]:
        if not items:
            return
        complete = False
        try:
            self._begin(min(self._count, len(items)))
            begin = Begin(function, common, threads)
            for each in self._workers:
                self._send(each, begin)
            results: dict[int, Any] = {}
            given, taken = 0, 0
            while taken < len(items):
                for each in sorted(self._workers, key=lambda one: len(one.pending)):
                    while len(each.pending) < AHEAD and given < len(items) and self._fair(each, given, items):
                        self._send(each, Call(given, items[given]))
                        each.pending.add(given)
                        given += 1
                self._listen(results)
                while taken in results:
                    yield results.pop(taken)
                    taken += 1
            complete = True
        finally:
            if not complete:  # a fault, or nobody wants the rest
                self.close()

    def _fair(self, worker: _Worker, given: int, items: Sequence[Any]) -> bool:
        """A second call waits at a worker only while there is one for every other."""
        return not worker.pending or len(items) - given >= sum(not each.pending for each in self._workers) + 1

    def _listen(self, results: dict[int, Any]) -> None:
        heard = wait([each.connection for each in self._workers], timeout=1.0)
        now = time.monotonic()
        for each in self._workers:
            if each.connection in heard:
                each.heard = now
                self._hear(each, results)
            elif now - each.heard > self._silence:
                raise MissingEnvironmentError(
                    f"a worker process gave no sign of life for {self._silence:.0f} seconds", hint=AGAIN
                )

    def _hear(self, worker: _Worker, results: dict[int, Any]) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            raise self._ended(worker) from None
        if isinstance(message, Sign):
            return
        if isinstance(message, Done):
            worker.pending.discard(message.number)
            results[message.number] = message.result
            return
        raise message.error

    def _send(self, worker: _Worker, message: Begin | Call) -> None:
        try:
            worker.connection.send(message)
        except OSError:
            raise self._ended(worker) from None

    def _ended(self, worker: _Worker) -> MissingEnvironmentError:
        try:
            code = worker.process.wait(5.0)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -signal.SIGKILL:
            what, hint = "was killed", f"is there enough memory? {AGAIN}, with fewer --workers"
        elif code < 0:
            what, hint = f"ended by signal {-code}", AGAIN
        else:
            what, hint = f"ended with {code}", AGAIN
        return MissingEnvironmentError(f"a worker process {what} before its part was done", hint=hint)


__all__ = ["MOST_WORKERS", "WorkerProcesses", "predicted_seconds", "reason_against"]
