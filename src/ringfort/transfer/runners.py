"""Who does the independent calls of a run: this process, worker processes on this machine, a Dask cluster.

All do the same calls with the same results, in the order of the items, so that what leaves is the same bytes
whoever did it. Invariants: the first fault ends the run; workers that die, are silent or are not there end it
within a stated time, with a named error after which the run can be gone on with; worker processes end with
the process that started them, however it ends. A call may hold the secret of one pseudonymisation domain: it
travels to worker processes through sockets, and to a Dask cluster only over TLS or within this machine. The
folder of the run must be the same on every machine (a shared file system, in the region).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ringfort.errors import UsageError
from ringfort.transfer.calls import in_process
from ringfort.transfer.dask_cluster import DaskCluster
from ringfort.transfer.worker_processes import WorkerProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
ENGINES = ("local", "dask")


class Runner(Protocol):
    """Does independent calls. It may be used for several stages, then it is closed."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever chose this runner should be told."""
        ...

    def run(
        self, function: Callable[[C, T], R], common: C, items: Sequence[T], *, rows: int
    ) -> Generator[R, None, None]:
        """`function(common, item)` for each item, results in their order.

        Function, `common`, items and results can be pickled, the function by its name; `common` travels once
        to each worker. `rows` is how many rows all items are about. Raises what a call of ours raises, and
        `MissingEnvironmentError` for anything else, and where nobody does the work any more.
        """
        ...

    def close(self) -> None:
        """End what was begun for the calls."""
        ...


class InProcess:
    """A few calls at once, in threads of this process."""

    notes: tuple[str, ...] = ()

    def run(
        self,
        function: Callable[[C, T], R],
        common: C,
        items: Sequence[T],
        *,
        rows: int,  # noqa: ARG002
    ) -> Generator[R, None, None]:
        """The results in the order of the items."""
        yield from in_process(function, common, items)

    def close(self) -> None:
        """Nothing was begun."""


def runner_of(
    engine: str, workers: int, scheduler: str, *, silence_seconds: float = 60.0, always_workers: bool = False
) -> Runner:
    """The runner for what a command was told; raises `UsageError` for what does not go together."""
    if engine not in ENGINES:
        raise UsageError(f"there is no engine `{engine}`", hint="one of " + ", ".join(ENGINES))
    if engine == "dask":
        if not scheduler:
            raise UsageError("the engine `dask` needs the scheduler's address", hint="give --scheduler")
        return DaskCluster(scheduler, silence_seconds=silence_seconds)
    if scheduler:
        raise UsageError("a scheduler goes with the engine `dask`", hint="add --engine dask")
    if not workers:
        return InProcess()
    return WorkerProcesses(workers, silence_seconds=silence_seconds, always=always_workers)


__all__ = ["ENGINES", "DaskCluster", "InProcess", "Runner", "WorkerProcesses", "runner_of"]
