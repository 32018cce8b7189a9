"""What the log says of sessions: that they opened, ended, were refused, and why, in our own words.

Who it was, the purpose and the ticket stand on record, where the session's id leads to them: the log has the
id alone. The words of a refusal may quote what the client sent, always between backquotes: that is left out.
"""

from __future__ import annotations

import logging
import re

from ringfort.logs.counted import Counted

LOG = logging.getLogger(__name__)
_OWN = frozenset({"`ringfort.purpose`", "`ringfort.ticket`"})
_QUOTED = re.compile("`.*`", re.DOTALL)  # from the first to the last: a value may hold one itself


def without_values(words: str) -> str:
    """The words of one of our errors, without what it quotes."""
    return _QUOTED.sub(lambda match: match[0] if match[0] in _OWN else "`...`", words)


def session_opened(session: str, *, operate: bool) -> None:
    """Say that a session is open."""
    what = "an operate session" if operate else "a session"
    LOG.info("%s opened", what, extra={"event": "session-opened", "session": session})


def session_ended(session: str, outcome: str, statements: int, rows: int) -> None:
    """Say that a session is over."""
    LOG.info(
        "the session ended: %s (statements %d, rows %d)",
        outcome,
        statements,
        rows,
        extra={"event": "session-ended", "session": session},
    )


def sessions_ended(count: int, why: str) -> None:
    """Say that what sessions stand on changed, and how many it ended."""
    LOG.info("%s: sessions ended here %d", why, count, extra={"event": "ground-changed"})


def record_waits(count: int) -> None:
    """Say that statements wait for their record."""
    LOG.warning(
        "statements wait longer than a second for their record, in sessions: %d",
        count,
        extra={"event": "record-waits"},
    )


def record_goes_on() -> None:
    """Say that they do no longer."""
    LOG.info("no statement waits long for its record any more", extra={"event": "record-goes-on"})


class Refusals:
    """Refused logins and sessions of one worker, at a bounded rate."""

    def __init__(self) -> None:
        self._logins = Counted(_login_refused)
        self._sessions = Counted(_session_refused)

    def login(self, reason: str) -> None:
        """Somebody did not prove who they are; `reason` is for us alone."""
        self._logins.note(without_values(reason))

    def session(self, words: str, sqlstate: str) -> None:
        """Somebody got no session."""
        self._sessions.note(f"{without_values(words)} ({sqlstate})")

    def close(self) -> None:
        """Say what was only counted so far."""
        self._logins.close()
        self._sessions.close()


def _login_refused(count: int, reason: str) -> None:
    LOG.warning("logins refused: %d: %s", count, reason, extra={"event": "login-refused"})


def _session_refused(count: int, reason: str) -> None:
    LOG.warning("sessions refused: %d: %s", count, reason, extra={"event": "session-refused"})


__all__ = [
    "Refusals",
    "record_goes_on",
    "record_waits",
    "session_ended",
    "session_opened",
    "sessions_ended",
    "without_values",
]
