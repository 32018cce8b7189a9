"""A worker process of a run: gets calls over a socket that it inherited, and answers each with its result.

`python -m ringfort.transfer.worker DESCRIPTOR`. It is started lean, from nothing of its parent's memory or
`__main__`. Messages are pickles between processes of ours on one machine; the first of a batch of calls is
`Begin` (the function and what all calls have in common, which may hold a domain's secret), then one item
each. Invariants: it keeps its memory to itself, ends as soon as its parent does, and gives a sign of life
every `SIGN_SECONDS`, however long a call takes.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from ringfort import interruption, logs
from ringfort.process import conceal, die_with_parent
from ringfort.transfer.calls import Begin, Call, Done, Failed, Sign, named

if TYPE_CHECKING:
    from collections.abc import Callable

SIGN_SECONDS = 2.0


def serve(connection: Connection) -> None:
    """Answer calls until the other side goes."""
    import pyarrow as pa  # noqa: PLC0415 - a quarter of a second, after the first sign of life

    import ringfort.transfer.part  # noqa: F401, PLC0415 - what the calls need is there when they come

    calls: queue.SimpleQueue[Begin | Call] = queue.SimpleQueue()
    lock = threading.Lock()

    def say(message: Done | Failed | Sign) -> None:
        try:
            with lock:
                connection.send(message)
        except OSError:
            os._exit(1)

    def receive() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            except Exception as error:  # noqa: BLE001 - told by its class: what it is of is not there
                say(Failed(named(error)))
                continue
            calls.put(message)

    def breathe() -> None:
        wait = threading.Event()
        while not wait.wait(SIGN_SECONDS):
            say(Sign())

    for each in (receive, breathe):
        threading.Thread(target=each, daemon=True).start()
    say(Sign())
    begun: Begin | None = None
    while True:
        message = calls.get()
        if isinstance(message, Begin):
            begun = message
            pa.set_cpu_count(begun.threads)
        elif begun is not None:
            say(_answer(begun.function, begun.common, message))


def _answer(function: Callable[[Any, Any], Any], common: object, call: Call) -> Done | Failed:
    try:
        return Done(call.number, function(common, call.item))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells it
        return Failed(named(error))


def main(arguments: list[str]) -> None:
    """Become a worker of the parent's."""
    die_with_parent()
    conceal()
    for number in interruption.SIGNALS:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interruption.SIGNALS)
    logs.configure(logs.LogSettings(process="transfer-worker", level="warning", stderr="warning"))
    serve(Connection(int(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])


__all__ = ["main", "serve"]
