"""What a client may fix at startup: who, where to, purpose and ticket, and a list of harmless settings.

Parameters come as startup parameters and inside `options` as `-c name=value` or `--name=value`, split as
PostgreSQL splits it (`pg_split_opts`: white space separates, a backslash takes the next character as it
is). Everything is checked against a list: what changes how SQL is read or whose rights apply is refused
with a hint (compare CVE-2025-12819), and so is everything unknown. Setting names are case-insensitive in
PostgreSQL.

Left out: what a purpose or ticket means (policy), and whether the user exists (the provisioner).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ringfort.pgwire.errors import StartupRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.pgwire.startup import StartupMessage

_NAME_BYTES = 63
_SPACE = " \t\n\r\f\v"
_PURPOSE_CHARACTERS = 128
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,127}")
_UTF8 = frozenset({"utf8", "utf-8", "unicode", "utf_8"})
_TRUE = frozenset({"on", "true", "yes", "1", "t", "y"})
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_ ,.:+/<>-]{0,128}")

# Canonical spelling of settings that are passed on to the site.
_KEPT = {
    "application_name": "application_name",
    "bytea_output": "bytea_output",
    "client_encoding": "client_encoding",
    "client_min_messages": "client_min_messages",
    "datestyle": "DateStyle",
    "default_transaction_deferrable": "default_transaction_deferrable",
    "default_transaction_isolation": "default_transaction_isolation",
    "default_transaction_read_only": "default_transaction_read_only",
    "extra_float_digits": "extra_float_digits",
    "geqo": "geqo",
    "idle_in_transaction_session_timeout": "idle_in_transaction_session_timeout",
    "intervalstyle": "IntervalStyle",
    "jit": "jit",
    "lock_timeout": "lock_timeout",
    "plan_cache_mode": "plan_cache_mode",
    "standard_conforming_strings": "standard_conforming_strings",
    "statement_timeout": "statement_timeout",
    "timezone": "TimeZone",
}
_REFUSED = {
    "role": "a session runs as the role that policy gave it",
    "session_authorization": "a session runs as the role that policy gave it",
    "search_path": "a session sees the relations that policy gave it; write names without a schema",
    "replication": "replication would carry whole rows past the policy; it is not offered",
    "row_security": "row-level security is decided at the site",
    "options": "nested options are not offered",
    "session_preload_libraries": "code is loaded by the site's operator only",
    "local_preload_libraries": "code is loaded by the site's operator only",
}
PURPOSE = "ringfort.purpose"
TICKET = "ringfort.ticket"
SESSION = "ringfort.session"
SESSIONS = ("view", "operate")
_OWN = frozenset({PURPOSE, TICKET, SESSION})


@dataclass(frozen=True)
class SessionRequest:
    """What a client asks for: principal, database, purpose, ticket, and the settings that are passed on.

    `session` is `view`, or `operate` for the real tables that a grant covers.
    """

    user: str
    database: str
    purpose: str = ""
    ticket: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    session: str = "view"

    @property
    def application_name(self) -> str:
        """What the client calls itself."""
        return self.settings.get("application_name", "")


def split_options(text: str) -> list[str]:
    """The arguments in an `options` value, as PostgreSQL's `pg_split_opts` finds them."""
    arguments: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        if position == len(text):
            return arguments
        argument = ""
        while position < len(text) and text[position] not in _SPACE:
            if text[position] == "\\":
                position += 1
                if position == len(text):
                    break
            argument += text[position]
            position += 1
        arguments.append(argument)


def option_settings(text: str) -> list[tuple[str, str]]:
    """Name and value of each setting in an `options` value; any other switch is refused."""
    arguments = iter(split_options(text))
    settings: list[tuple[str, str]] = []
    for argument in arguments:
        if argument.startswith("--"):
            assignment = argument[2:]
        elif argument == "-c":
            assignment = next(arguments, "")
        elif argument.startswith("-c"):
            assignment = argument[2:]
        else:
            raise StartupRefusedError(
                "only settings are taken in `options`", hint="write options=-c name=value", sqlstate="22023"
            )
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise StartupRefusedError(
                "a setting in `options` needs a value", hint="write options=-c name=value", sqlstate="22023"
            )
        settings.append((name.replace("-", "_"), value))
    return settings


def startup_user(message: StartupMessage) -> str:
    """Who a client says it is; raises `StartupRefusedError` if it does not say so validly."""
    return _name("user", _text(dict(message.parameters).get(b"user", b"")))


def read_parameters(message: StartupMessage) -> SessionRequest:
    """What the client asks for; raises `StartupRefusedError` for anything that is not on the list."""
    texts = [(_text(name), _text(value)) for name, value in message.parameters]
    given = {name: value for name, value in texts if not name.startswith("_pq_.")}
    user = _name("user", given.pop("user", ""))
    database = _name("database", given.pop("database", "") or user)
    options = option_settings(given.pop("options", ""))
    own: dict[str, str] = {}
    settings: dict[str, str] = {}
    # PostgreSQL applies `options` first, then the parameters of the packet
    for name, value in _all(options, given.items()):
        lowered = name.lower()
        if lowered in _OWN:
            if own.setdefault(lowered, value) != value:
                raise StartupRefusedError(f"`{lowered}` is given twice", sqlstate="22023")
        elif lowered in _KEPT:
            settings[_KEPT[lowered]] = _checked(lowered, value)
        else:
            raise _not_offered(lowered)
    session = own.get(SESSION, SESSIONS[0])
    if session not in SESSIONS:
        raise StartupRefusedError(
            f"`{SESSION}` is not valid", hint=f"one of {', '.join(SESSIONS)}", sqlstate="22023"
        )
    purpose, ticket = _purpose(own.get(PURPOSE, "")), _label(TICKET, own.get(TICKET, ""))
    return SessionRequest(user, database, purpose, ticket, settings, session)


def _all(*sources: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    for source in sources:
        yield from source


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise StartupRefusedError("a startup parameter is not UTF-8", sqlstate="22021") from None


def _name(kind: str, value: str) -> str:
    if not value:
        raise StartupRefusedError(
            f"no {kind} name is given in the startup packet", hint=f"set `{kind}`", sqlstate="28000"
        )
    if len(value.encode()) > _NAME_BYTES or not value.isprintable():
        raise StartupRefusedError(f"the {kind} name is not valid", sqlstate="28000")
    return value


def _purpose(value: str) -> str:
    """A purpose in any spelling: the policy says which there are, after authentication."""
    if len(value) > _PURPOSE_CHARACTERS or not value.isprintable():
        raise StartupRefusedError(
            f"`{PURPOSE}` is not valid", hint="state one that the policy lists", sqlstate="22023"
        )
    return value


def _label(name: str, value: str) -> str:
    if value and not _LABEL.fullmatch(value):
        raise StartupRefusedError(
            f"`{name}` is not valid",
            hint="use letters, digits and . _ : / # -, at most 128",
            sqlstate="22023",
        )
    return value


def _checked(name: str, value: str) -> str:
    if name == "client_encoding":
        if value.lower().strip("'\"") not in _UTF8:
            raise StartupRefusedError(
                "only UTF8 is offered as `client_encoding`", hint="set client_encoding to UTF8"
            )
        return "UTF8"
    if name == "application_name":
        return "".join(each if " " <= each <= "~" else "?" for each in value)[:_NAME_BYTES]
    if (
        name in {"standard_conforming_strings", "default_transaction_read_only"}
        and value.lower() not in _TRUE
    ):
        raise StartupRefusedError(f"`{name}` cannot be turned off", hint=f"leave `{name}` on")
    if not _PLAIN_VALUE.fullmatch(value):
        raise StartupRefusedError(f"the value of `{name}` is not valid", sqlstate="22023")
    return value


def _not_offered(name: str) -> StartupRefusedError:
    shown = name if len(name) <= _NAME_BYTES and name.isprintable() else "a startup parameter"
    offered = _OWN if name.startswith("ringfort.") else _KEPT.values()
    return StartupRefusedError(
        f"`{shown}` cannot be set at startup",
        hint=_REFUSED.get(name, "leave it out; what can be set: " + ", ".join(sorted(offered))),
        sqlstate="42501" if name in _REFUSED else "0A000",
    )


__all__ = [
    "PURPOSE",
    "SESSION",
    "TICKET",
    "SessionRequest",
    "option_settings",
    "read_parameters",
    "split_options",
    "startup_user",
]
