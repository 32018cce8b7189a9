"""Log lines of every process: when, how grave, who, what, in which session; never a value, never a secret.

A module at the edge has `LOG = logging.getLogger(__name__)` and says
`LOG.warning("plain words", extra={"event": "short-name", "session": id_or_none})`; every event stands in
`events.EVENTS`. A process calls `configure` once. Invariants:

- Saying something never waits: a line goes into a bounded queue, and a thread writes. What finds the queue
  full is counted, and the count is a line. A disk that is full or a terminal that stands still costs lines,
  never the process.
- A line is one line, and of bounded length, whatever a client called itself.
- An exception is told by its class, its SQLSTATE and our own words: a driver's text can echo a value.
- What a library says is told by its name and place in the source, without its words.
- One event fills no disk: beyond a number of lines in a time it is counted, and the count is a line.
"""

from ringfort.logs.setup import LogSettings, configure, flush
from ringfort.logs.slow import slow, slowly

__all__ = ["LogSettings", "configure", "flush", "slow", "slowly"]
