"""Calls that a run hands to whoever does its work, as messages, and how what goes wrong in one is told.

An error that is not ours is told by its class and place: its words can hold values.
"""

from __future__ import annotations

import itertools
import os
import threading
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ringfort.errors import MissingEnvironmentError, RingfortError, machine_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 2
"""Calls that one process does at once: more would be worth worker processes, and take memory of their own."""
AGAIN = "run the transfer again: it goes on where it was"


@dataclass(frozen=True)
class Begin:
    """The function that the calls to come are of, the first argument of each, and threads for Arrow."""

    function: Callable[[Any, Any], Any]
    common: Any = field(repr=False)
    threads: int


@dataclass(frozen=True)
class Call:
    """One call: its number, and its second argument."""

    number: int
    item: Any = field(repr=False)


@dataclass(frozen=True)
class Done:
    """What a call gave."""

    number: int
    result: Any = field(repr=False)


@dataclass(frozen=True)
class Failed:
    """What a call raised, as an error that can be told."""

    error: RingfortError


@dataclass(frozen=True)
class Sign:
    """The worker is alive; the first one says that it is ready."""


def named(error: BaseException) -> RingfortError:
    """An error that can be told: ours as it is, any other by its kind and place, without its words."""
    if isinstance(error, RingfortError):
        return error.with_traceback(None)
    if isinstance(error, MemoryError):  # Arrow's is one, too
        return MissingEnvironmentError(
            "there is not enough memory for a part", hint=f"free some, then {AGAIN}"
        )
    if isinstance(error, OSError):
        return machine_fault(error, "a file of a part")
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"  # noqa: PTH119
    return MissingEnvironmentError(
        f"a part could not be done: {type(error).__name__} at {place}",
        hint=f"if it is a fault of the machine, {AGAIN}; else it is one of ours: report this line;"
        " `ringfort transfer abandon` gives the run up",
    )


class AbandonedError(Exception):
    """Nobody waits for the call any more: another failed, or the run was interrupted."""


_here = threading.local()


def go_on() -> None:
    """Raise `AbandonedError` if nobody waits for the call that this thread does; calls ask often."""
    over: threading.Event | None = getattr(_here, "over", None)
    if over is not None and over.is_set():
        raise AbandonedError


def in_process(function: Callable[[C, T], R], common: C, items: Sequence[T]) -> Generator[R, None, None]:
    """The results in the order of the items, made by threads of this process, `AT_ONCE` at a time.

    What calls do lets go of the interpreter's lock, for the most part. A fault ends the others at their next
    batch.
    """
    if len(items) < 2:
        for item in items:
            yield _result(partial(function, common, item))
        return
    over = threading.Event()

    def call(item: T) -> R:
        _here.over = over
        go_on()
        return function(common, item)

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ringfort-part")
    try:
        waiting = iter(items)
        begun = deque(pool.submit(call, each) for each in itertools.islice(waiting, 2 * AT_ONCE))
        while begun:
            result = _result(begun.popleft().result)
            begun.extend(pool.submit(call, each) for each in itertools.islice(waiting, 1))
            yield result
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)


def _result(call: Callable[[], R]) -> R:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        raise named(error) from None


__all__ = [
    "AGAIN",
    "AT_ONCE",
    "AbandonedError",
    "Begin",
    "Call",
    "Done",
    "Failed",
    "Sign",
    "go_on",
    "in_process",
    "named",
]
