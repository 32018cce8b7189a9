"""Who does the parts of a run: this process, worker processes on this machine, or a Dask cluster.

All run the same function on the same parts, and each part is a file of its own, so that what leaves is the
same bytes whoever did it. Invariants: results come as parts are done, in any order; the first fault ends
the run; worker processes end with the process that started them, however it ends. A job holds the secret of
one pseudonymisation domain: it travels to worker processes through pipes, and to a Dask cluster only over
TLS or within this machine. The folder of the run must be the same on every machine (a shared file system,
in the region).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa

from ringfort import interruption, logs
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.transfer.part import PartResult, run_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ringfort.transfer.part import Job
    from ringfort.transfer.source import Part

ENGINES = ("local", "dask")
MOST_WORKERS = 256
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Runner(Protocol):
    """Does the parts of a job."""

    def run(self, job: Job, parts: Sequence[Part]) -> Iterator[PartResult]:
        """The results, as they come; raises what a part raises."""
        ...


class InProcess:
    """One part after the other, here."""

    def run(self, job: Job, parts: Sequence[Part]) -> Iterator[PartResult]:
        """The results in the order of the parts."""
        for part in parts:
            yield run_part(job, part)


class WorkerProcesses:
    """So many processes on this machine, each made anew (nothing of this one's memory is copied)."""

    def __init__(self, count: int) -> None:
        if not 1 <= count <= MOST_WORKERS:
            raise UsageError(f"the number of workers must be 1 to {MOST_WORKERS}")
        self._count = count

    def run(self, job: Job, parts: Sequence[Part]) -> Iterator[PartResult]:
        """The results as they come."""
        count = min(self._count, max(len(parts), 1))
        pool = ProcessPoolExecutor(
            count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
        )
        waiting = iter(parts)
        try:
            with interruption.deferred():  # `submit` begins processes
                under_way = {pool.submit(run_part, job, each) for each in _first(waiting, 2 * count)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for each in done:
                    yield each.result()
                    with interruption.deferred():
                        under_way |= {pool.submit(run_part, job, part) for part in _first(waiting, 1)}
        except BrokenProcessPool:
            raise MissingEnvironmentError(
                "a worker process ended before its part was done",
                hint="is there enough memory? run the transfer again, with fewer --workers",
            ) from None
        finally:
            if interruption.number():  # a part may take long, and the next run makes it anew
                for process in multiprocessing.active_children():
                    process.kill()
            pool.shutdown(wait=True, cancel_futures=True)


class DaskCluster:
    """The workers of a Dask scheduler that runs (`dask scheduler`, `dask worker`), on any machines."""

    def __init__(self, address: str) -> None:
        parsed = urlsplit(address)
        if parsed.scheme not in {"tcp", "tls"} or not parsed.hostname:
            raise UsageError(
                "the scheduler's address is not valid", hint="for example tls://scheduler.example:8786"
            )
        if parsed.scheme == "tcp" and parsed.hostname not in _LOOPBACK:
            raise UsageError(
                "the scheduler is on another machine and not reached over TLS",
                hint="start it with certificates and give its tls:// address; see transfers.md of the manual",
            )
        self._address = address

    def run(self, job: Job, parts: Sequence[Part]) -> Iterator[PartResult]:
        """The results as they come."""
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise MissingEnvironmentError(
                "Dask is not installed", hint="pip install 'ringfort[dask]', on every machine"
            ) from None
        security = distributed.Security() if self._address.startswith("tls:") else None
        try:
            client = distributed.Client(self._address, timeout="10s", set_as_default=False, security=security)
        except (OSError, TimeoutError, ValueError):
            raise MissingEnvironmentError(
                f"the Dask scheduler at `{self._address}` does not answer", hint="is it running?"
            ) from None
        with client:
            # not kept as data of the cluster: when the client goes, so does the job and its secret
            futures = [client.submit(run_part, job, each, pure=False, retries=0) for each in parts]
            try:
                for future in distributed.as_completed(futures, loop=client.loop):
                    yield future.result()
            finally:
                with contextlib.suppress(Exception):  # the cluster may be gone, and the fault matters more
                    client.cancel(futures)


def runner_of(engine: str, workers: int, scheduler: str) -> Runner:
    """The runner for what a command was told; raises `UsageError` for what does not go together."""
    if engine not in ENGINES:
        raise UsageError(f"there is no engine `{engine}`", hint="one of " + ", ".join(ENGINES))
    if engine == "dask":
        if not scheduler:
            raise UsageError("the engine `dask` needs the scheduler's address", hint="give --scheduler")
        return DaskCluster(scheduler)
    if scheduler:
        raise UsageError("a scheduler goes with the engine `dask`", hint="add --engine dask")
    return WorkerProcesses(workers) if workers else InProcess()


def _first(parts: Iterator[Part], count: int) -> list[Part]:
    found = []
    for part in parts:
        found.append(part)
        if len(found) == count:
            break
    return found


def _begin_worker() -> None:
    """A worker: one thread for Arrow, an end when its parent's comes; Ctrl-C is its parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interruption.SIGNALS)
    logs.configure(logs.LogSettings(process="transfer-worker", level="warning", stderr="warning"))
    pa.set_cpu_count(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


__all__ = ["ENGINES", "DaskCluster", "InProcess", "Runner", "WorkerProcesses", "runner_of"]
