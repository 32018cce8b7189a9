"""Taking connections from a socket that several workers share, so that each gets its share of them.

Every worker hears of a waiting connection. One that has more connections than the one with fewest leaves it
to that one for a moment, and takes it only if nobody did. One connection is taken for each time that the
socket is found readable, so a burst spreads over the workers. There is no broker: what the workers know of
each other stands on the `Board`.

The socket is the supervisor's: a worker that closes its descriptor leaves the queue of waiting connections as
it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.gateway.board import Board

LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 0.004  # for each connection that we have more than the one with fewest
PATIENCE_MOST = 8
TROUBLE_SECONDS = 0.25  # no descriptors left: closing one takes a while


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there, port 0 for a free one; raises `MissingEnvironmentError` if it cannot."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise MissingEnvironmentError(
            f"the gateway cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}",
            hint="set another `port` under [gateway] in ringfort.toml; 0 takes a free one",
        ) from None
    return listening


class Listener:
    """Hands each connection taken from `listening` (non-blocking) to `on_connection`.

    `load()` is how many connections this worker has.
    """

    def __init__(
        self,
        listening: socket.socket,
        board: Board,
        load: Callable[[], int],
        on_connection: Callable[[socket.socket], None],
    ) -> None:
        self._socket = listening
        self._board = board
        self._load = load
        self._on_connection = on_connection
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    def start(self) -> None:
        """Take connections from now on."""
        self._open = True
        self._board.tell(self._load())
        self._loop.add_reader(self._socket, self._readable)

    def stop(self) -> None:
        """Take no more; what waits in the queue is for the others."""
        if self._open:
            self._open = False
            self._board.withdraw()
            if self._timer is None:
                self._loop.remove_reader(self._socket)
            else:
                self._timer.cancel()
            self._socket.close()

    def changed(self) -> None:
        """The number of our connections has changed."""
        if self._open:
            self._board.tell(self._load())

    def _readable(self) -> None:
        lightest = self._board.lightest()
        more = 0 if lightest is None else self._load() - lightest
        if more > 0:
            self._rest(PATIENCE_SECONDS * min(more, PATIENCE_MOST))
        else:
            self._take()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._timer = self._loop.call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._timer = None
        self._loop.add_reader(self._socket, self._readable)
        self._take()

    def _take(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # another worker was quicker, or the client went away
        except OSError as error:
            LOG.error("a connection cannot be taken: %s", error, extra={"event": "connection-not-taken"})
            self._rest(TROUBLE_SECONDS)
            return
        connection.setblocking(False)
        self._on_connection(connection)
        self.changed()


__all__ = ["Listener", "listening_socket"]
