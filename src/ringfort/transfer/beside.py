"""Batches made in other threads than they are used in, from one source or from several at once."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import pyarrow as pa


def beside(
    sources: Iterable[Iterator[pa.RecordBatch]], threads: int
) -> Generator[pa.RecordBatch, None, None]:
    """The batches of all sources, each source run by one of so many threads, in whatever order they come.

    One source keeps its order. Few batches wait at a time. A fault in a source comes as it is, and ends the
    others.
    """
    coming: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(2 * threads)
    over = threading.Event()
    lock = threading.Lock()
    waiting = iter(sources)

    def offer(item: pa.RecordBatch | BaseException | None) -> None:
        while not over.is_set():
            try:
                coming.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            while not over.is_set():
                with lock:
                    source = next(waiting, None)
                if source is None:
                    break
                for batch in source:
                    offer(batch)
                    if over.is_set():
                        return
            offer(None)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who uses the batches raises it
            offer(error)

    with ThreadPoolExecutor(threads, thread_name_prefix="ringfort-beside") as pool:
        try:
            for _ in range(threads):
                pool.submit(work)
            left = threads
            while left:
                item = coming.get()
                if item is None:
                    left -= 1
                elif isinstance(item, BaseException):
                    raise item
                else:
                    yield item
        finally:
            over.set()


__all__ = ["beside"]
