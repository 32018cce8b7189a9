"""One log line as a value: made safe from a record, written as text or JSON, read back.

The text form is `TIME LEVEL PROCESS EVENT SESSION WORDS`; what is not known is `-`; the words come last, so
that nothing in them can pass for another field. JSON lines hold the same fields by name.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ringfort.errors import RingfortError

if TYPE_CHECKING:
    import logging

OURS = "ringfort"
LIBRARY = "library"
LEVELS = ("debug", "info", "warning", "error", "critical")
MOST_WORDS = 1_500  # characters; a line stays below PIPE_BUF bytes, so that it is written whole
MOST_BYTES = 4_000
_MOST_TOKEN = 80
_FRAMES = 12
# control characters, line and paragraph separators, direction marks, halves of surrogate pairs
_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
_SECRETS = (
    (
        re.compile(
            r"(?i)\b(pass(?:word|wd|phrase)?|sslpassword|pwd|secret|pin|token)(\s*[=:]\s*)('[^']*'|\S+)"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), r"\1***@"),
    (re.compile(r"SCRAM-SHA-256\$\S+"), "SCRAM-SHA-256$***"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"), "***"),
    (re.compile(r"-----BEGIN .*"), "***"),
)  # fmt: skip
_TEXT = re.compile(r"(\S+Z) (\S+) (\S+) (\S+) (\S+) (.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says; every text in it is shown as it is."""

    time: str  # RFC 3339, UTC, milliseconds
    level: str
    process: str
    event: str
    session: str
    message: str

    def text(self) -> str:
        """The line for people."""
        fields = (self.time, self.level, self.process, self.event, self.session)
        return " ".join((*(each or "-" for each in fields), self.message))

    def json(self) -> str:
        """The line for programs; a session that is not known is null."""
        return json.dumps(asdict(self) | {"session": self.session or None}, ensure_ascii=False)

    @property
    def gravity(self) -> int:
        """Its place in `LEVELS`; what is unknown counts as the gravest."""
        return LEVELS.index(self.level) if self.level in LEVELS else len(LEVELS)


def read_line(text: str) -> Line | None:
    """The line that `text` is in either form; nothing if it is none."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
            fields = {name: str(found[name] or "") for name in Line.__slots__}
        except (ValueError, KeyError, TypeError):
            return None
        return Line(**fields)
    match = _TEXT.fullmatch(text)
    if match is None or match[2] not in LEVELS:
        return None
    time, level, process, event, session = ("" if each == "-" else each for each in match.groups()[:5])
    return Line(time, level, process, event, session, match[6])


def time_text(seconds: float) -> str:
    """A moment as lines show it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def line_of(record: logging.LogRecord, process: str) -> Line:
    """What may be told of `record`."""
    ours = is_ours(record.name)
    words = _words(record) if ours else f"{record.name} at {record.filename}:{record.lineno}"
    raised = record.exc_info[1] if record.exc_info else None
    if raised is not None:
        words += f": {describe(raised)} at {where(raised)}"
    return Line(
        time_text(record.created),
        record.levelname.lower() if record.levelname.lower() in LEVELS else "error",
        _token(process),
        _token(getattr(record, "event", None) or "unnamed") if ours else LIBRARY,
        _token(getattr(record, "session", None)),
        safe(words),
    )


def is_ours(logger: str) -> bool:
    """Whether a logger is one of ours; `python -m` calls the module that it runs `__main__`."""
    return logger in {OURS, "__main__"} or logger.startswith(OURS + ".")


def _words(record: logging.LogRecord) -> str:
    arguments = record.args
    if isinstance(arguments, tuple):
        arguments = tuple(map(_argument, arguments))
    elif arguments:
        arguments = {name: _argument(value) for name, value in arguments.items()}
    template = record.msg if isinstance(record.msg, str) else str(_argument(record.msg))
    try:
        return template % arguments if arguments else template
    except (TypeError, ValueError, KeyError):
        return template


def _argument(value: object) -> object:
    return describe(value) if isinstance(value, BaseException) else value


def describe(error: BaseException) -> str:
    """An exception without anything that it may have been given: class, SQLSTATE, our own words."""
    name = type(error).__name__
    if isinstance(error, RingfortError):
        return error.message
    if isinstance(error, BaseExceptionGroup):
        return f"{name} of {', '.join(describe(each) for each in error.exceptions[:3])}"
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return f"{name} {state}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name} ({os.strerror(error.errno).lower()})"
    return name


def where(error: BaseException) -> str:
    """The functions that it came through, the innermost last: names and line numbers of source, no values."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " > ".join(f"{each.name}:{each.lineno}" for each in frames) or "an unknown place"


def safe(text: str) -> str:
    """`text` as one line of bounded length, without what looks like a secret."""
    text = text[: 4 * MOST_WORDS]
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    text = _UNSHOWN.sub(_shown, text)
    if len(text) > MOST_WORDS or len(text.encode()) > MOST_BYTES - 600:
        text = text.encode()[: MOST_BYTES - 600].decode(errors="ignore")[:MOST_WORDS] + "..."
    return text


def _shown(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def _token(value: object) -> str:
    """A field without spaces, at most `_MOST_TOKEN` characters."""
    if value is None:
        return ""
    field = re.sub(r"[^!-~]", "_", str(value))[:_MOST_TOKEN]
    return "" if field == "-" else field


__all__ = [
    "LEVELS",
    "LIBRARY",
    "MOST_BYTES",
    "OURS",
    "Line",
    "describe",
    "is_ours",
    "line_of",
    "read_line",
    "safe",
    "time_text",
    "where",
]
