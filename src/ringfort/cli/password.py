"""A password from standard input or asked at the terminal, where commands take one."""

from __future__ import annotations

import getpass
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


def ask_password(who: str, *, stdin: bool) -> str:
    """The password of `who`: the first line of standard input, or asked for at the terminal."""
    if stdin:
        return read_line()
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask for a password", hint="pipe one line into --password-stdin")
    return getpass.getpass(f"Password of {who}: ")
