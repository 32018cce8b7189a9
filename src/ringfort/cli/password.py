"""A password from standard input, where commands take one."""

from __future__ import annotations

import sys

from ringfort.errors import UsageError

MAX_PASSWORD_BYTES = 1024


def read_line() -> str:
    """The one line that standard input holds; raises UsageError unless it can be a password."""
    text = sys.stdin.readline(MAX_PASSWORD_BYTES + 2)
    if len(text.encode()) > MAX_PASSWORD_BYTES:
        raise UsageError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes")
    text = text.rstrip("\r\n")
    if not text:
        raise UsageError("standard input holds no password", hint="pipe one line into --password-stdin")
    if "\0" in text:
        raise UsageError("the password holds a NUL character")
    return text
