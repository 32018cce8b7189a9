"""The worker processes of one gateway: those that accept clients, and those that finish their sessions.

Each has a *slot*, its place on the `Board`, which names its private socket and stands in its clients'
cancel keys; a slot is free again when its worker is gone. Workers are replaced all or none: the new ones
serve before the first old one stops accepting, and an old one exits when its last session has ended. Used by
the supervisor alone; every process that was begun is known here before it runs, so that `stop` finds it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError
from ringfort.gateway import child_configs
from ringfort.gateway.board import SLOTS, Board, make_board
from ringfort.gateway.workers import worker_socket
from ringfort.paths import runtime_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfort.config import Config
    from ringfort.gateway.child import Child

MODULE = "ringfort.gateway.worker"


class WorkerSet:
    """See the module; `listening` is the descriptor of the socket that they share.

    `make(name, module, config, inherited)` gives a `Child` that is not started.
    """

    def __init__(self, listening: int, make: Callable[..., Child]) -> None:
        self._listening = listening
        self._make = make
        self._descriptor = make_board()
        self._board = Board(self._descriptor)
        self._slots: dict[int, Child] = {}
        self.accepting: dict[str, Child] = {}
        self.leaving: list[Child] = []
        self._sockets = ""

    def start(self, config: Config) -> None:
        """Start as many as `config` says."""
        for number in range(config.gateway.worker_count):
            child = self._new(config, number)
            self.accepting[child.name] = child
            child.start()

    def again(self, config: Config, name: str) -> None:
        """Start the worker `name` anew, which has ended."""
        self._gone(self.accepting.pop(name))
        child = self._new(config, int(name.removeprefix("worker-")))
        self.accepting[name] = child
        child.start()

    def replace(self, config: Config) -> None:
        """Start new workers with `config`, then let the old ones finish. If one does not start, none is."""
        fresh: list[Child] = []
        try:
            for number in range(config.gateway.worker_count):
                fresh.append(self._new(config, number))
                fresh[-1].start()
        except BaseException:
            self._stop(fresh)
            raise
        old = list(self.accepting.values())
        self.leaving += old
        self.accepting = {each.name: each for each in fresh}
        for each in old:
            each.tell(signal.SIGUSR1)

    def ended(self) -> Iterator[tuple[str, int]]:
        """The workers that should accept and have ended, each with its exit code."""
        for name, child in list(self.accepting.items()):
            code = child.poll()
            if code is not None:
                yield name, code

    def reap(self) -> list[tuple[str, int]]:
        """Forget those that have finished; gives those that did not end as they should."""
        failed = []
        for child in list(self.leaving):
            code = child.poll()
            if code is not None:
                self.leaving.remove(child)
                self._gone(child)
                if code:
                    failed.append((child.name, code))
        return failed

    def children(self) -> list[Child]:
        """All of them, accepting or leaving."""
        return list(self._slots.values())

    def stop(self) -> None:
        """Stop all of them, at once."""
        self._stop(list(self._slots.values()))
        self.accepting = {}
        self.leaving = []

    def close(self) -> None:
        """Stop all and give the board back."""
        self.stop()
        os.close(self._descriptor)

    def _stop(self, children: list[Child]) -> None:
        for each in children:
            each.tell(signal.SIGTERM)
        for each in children:
            self._gone(each)

    def _new(self, config: Config, number: int) -> Child:
        slot = next((each for each in range(SLOTS) if each not in self._slots), None)
        if slot is None:
            raise MissingEnvironmentError(
                f"{len(self.leaving)} workers are still finishing sessions",
                hint="wait, or end sessions with `ringfort sessions kill`",
            )
        self._sockets = str(runtime_folder(config.folder))
        told = child_configs.worker(config, number, slot, self._listening, self._descriptor)
        child = self._make(f"worker-{number}", MODULE, told, (self._listening, self._descriptor))
        self._slots[slot] = child
        return child

    def _gone(self, child: Child) -> None:
        child.stop()
        for slot in [slot for slot, each in self._slots.items() if each is child]:
            del self._slots[slot]
            self._board.withdraw(slot)
            with contextlib.suppress(OSError):
                Path(worker_socket(self._sockets, slot)).unlink()


__all__ = ["WorkerSet"]
