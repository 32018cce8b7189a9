"""SET, RESET, SHOW, set_config and current_setting: which parameters, and which values.

What may be set changes only how this session formats, plans or limits itself. Not in the list, and so
refused: `role`, `session_authorization`, `search_path`, `row_security`, `default_transaction_read_only =
off`, everything that changes how a text is read (`standard_conforming_strings = off`, `backslash_quote`,
another `client_encoding`), everything that logs or debugs, and parameters that nobody defined (values could
be parked there). Limits (`CEILINGS`) may be lowered, not lifted.

A value is always a constant that the client wrote, never computed from data.
"""

from __future__ import annotations

import re
from typing import Final

_ON: Final = frozenset({"on", "true", "yes", "1"})
_UTF8: Final = frozenset({"utf8", "utf-8", "utf_8", "unicode"})

_FREE: Final = frozenset(
    {
        "application_name",
        "array_nulls",
        "bytea_output",
        "cursor_tuple_fraction",
        "datestyle",
        "default_transaction_deferrable",
        "default_transaction_isolation",
        "escape_string_warning",
        "extra_float_digits",
        "geqo",
        "idle_session_timeout",
        "intervalstyle",
        "jit",
        "jit_above_cost",
        "jit_inline_above_cost",
        "jit_optimize_above_cost",
        "lc_monetary",
        "lc_numeric",
        "lc_time",
        "plan_cache_mode",
        "quote_all_identifiers",
        "synchronous_commit",
        "timezone",
        "transaction_deferrable",
        "transaction_isolation",
        "transaction_timeout",
    }
)
_RESTRICTED: Final[dict[str, frozenset[str]]] = {
    "client_encoding": _UTF8,
    "client_min_messages": frozenset({"notice", "warning", "error"}),
    "default_transaction_read_only": _ON,
    "standard_conforming_strings": _ON,
    "transaction_read_only": _ON,
}
CEILINGS: Final[dict[str, int]] = {
    "from_collapse_limit": 12,
    "idle_in_transaction_session_timeout": 300_000,
    "join_collapse_limit": 12,
    "lock_timeout": 10_000,
    "max_parallel_workers_per_gather": 2,
    "statement_timeout": 300_000,
}
"""What a session may lower and not lift; times in milliseconds. A profile's role begins with these."""
_TIMES: Final = frozenset(name for name in CEILINGS if name.endswith("timeout"))
_NUMBER: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{0,12})?)\s*(us|ms|s|min|h|d)?\s*")
_UNITS: Final = {"us": 0.001, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
SETTABLE: Final = _FREE | frozenset(_RESTRICTED) | CEILINGS.keys()

SHOWABLE: Final = SETTABLE | frozenset(
    {
        "block_size",
        "in_hot_standby",
        "integer_datetimes",
        "is_superuser",
        "lc_collate",
        "lc_ctype",
        "lc_messages",
        "max_identifier_length",
        "max_index_keys",
        "row_security",
        "search_path",
        "server_encoding",
        "server_version",
        "server_version_num",
        "session_authorization",
        "ssl",
        "work_mem",
        "xmloption",
    }
)

_READ_ONLY_NAMES: Final = frozenset({"default_transaction_read_only", "transaction_read_only"})


def setting_refused(name: str, value: str | None) -> tuple[str, str] | None:
    """Why `name` may not be set to `value` (None: its default), as reason and hint; None if it may."""
    key = name.lower()
    if key not in SETTABLE:
        if key in {"role", "session_authorization"}:
            return "changing the role of a session is refused", "connect as the principal that you are"
        if key == "search_path" and value is not None and not value.strip(' "'):
            return (  # what pg_dump, vacuumdb, createdb and their kin send first
                "search_path is fixed: pg_dump and other programs that work on the tables do not work here",
                "take what your views show with COPY (SELECT ...) TO STDOUT, or \\copy in psql",
            )
        if key == "search_path":
            return "search_path is fixed", "your views are found without a schema name"
        return (
            "this parameter may not be set in such a session",
            "formats, time zone, time limits and planner settings may be set; see the documentation",
        )
    if key in CEILINGS:
        return _over_ceiling(key, value)
    allowed = _RESTRICTED.get(key)
    # the default of transaction_read_only is off: RESET of it would make a transaction writable
    if allowed is None or (value is None and key not in _READ_ONLY_NAMES):
        return None
    if value is not None and value.strip().lower() in allowed:
        return None
    if key in _READ_ONLY_NAMES:
        return "this session is read-only", "leave READ WRITE out"
    if key == "client_encoding":
        return "the client encoding is always UTF8", "set client_encoding to UTF8"
    return f"`{key}` may be set only to: {', '.join(sorted(allowed))}", "leave it at its default"


def _over_ceiling(key: str, value: str | None) -> tuple[str, str] | None:
    """Why a limit may not be set to `value`: it may be lowered, never lifted, and no time be taken away."""
    if value is None:
        return None  # what the role begins with
    most = CEILINGS[key]
    found = _NUMBER.fullmatch(value)
    if found is not None and (found[2] is None or key in _TIMES):
        # PostgreSQL rounds to milliseconds: what would be rounded to 0 is no limit
        number = float(found[1]) * _UNITS[found[2] or "ms"]
        if number <= most and (number >= 1 or key not in _TIMES):
            return None
    shown = f"{most // 1000} s" if key in _TIMES else str(most)
    least = "1 ms" if key in _TIMES else "0"
    return f"`{key}` may be lowered only", f"set it to {least} to {shown}, or leave it at its default"


def takes_any_value(name: str) -> bool:
    """Whether a parameter that may be set may be set to anything, so that its value need not be known."""
    return name.lower() in _FREE


def showing_refused(name: str) -> tuple[str, str] | None:
    """Why the parameter `name` may not be shown, as reason and hint; None if it may."""
    if name.lower() in SHOWABLE:
        return None
    return "this parameter may not be shown", "formats, time zone, limits and server_version may be shown"


__all__ = ["SETTABLE", "SHOWABLE", "setting_refused", "showing_refused", "takes_any_value"]
