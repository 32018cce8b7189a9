"""Lines about what takes longer than a second: while it lasts, not only when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

LOG = logging.getLogger(__name__)
SECONDS = 1.0
_Result = TypeVar("_Result")


async def slowly(
    work: Awaitable[_Result], what: str, *, session: str | None = None, seconds: float = SECONDS
) -> _Result:
    """Await `work`; a line if it takes longer than `seconds`, and one when it is over."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    noticed: list[bool] = []

    def notice() -> None:
        noticed.append(True)
        _begin(what, seconds, session)

    timer = loop.call_later(seconds, notice)
    try:
        return await work
    finally:
        timer.cancel()
        if noticed:
            _end(what, loop.time() - begun, session)


@contextlib.contextmanager
def slow(what: str, *, session: str | None = None, seconds: float = SECONDS) -> Iterator[None]:
    """The same for work in a thread; costs a timer thread, so it is for what seldom happens."""
    begun = time.monotonic()
    noticed: list[bool] = []

    def notice() -> None:
        noticed.append(True)
        _begin(what, seconds, session)

    timer = threading.Timer(seconds, notice)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if noticed:
            _end(what, time.monotonic() - begun, session)


def _begin(what: str, seconds: float, session: str | None) -> None:
    LOG.warning("%s takes longer than %g s", what, seconds, extra={"event": "slow", "session": session})


def _end(what: str, took: float, session: str | None) -> None:
    LOG.info("%s took %.1f s", what, took, extra={"event": "slow-over", "session": session})


__all__ = ["SECONDS", "slow", "slowly"]
