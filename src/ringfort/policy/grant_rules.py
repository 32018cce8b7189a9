"""`policy/grants.toml`: how many approvals a grant needs, and how long things may take.

Part of the policy bundle, so that whoever reads the record knows which rules were in force. Strict: an
unknown key or a value of another sort is refused with file and line. What is not said is as shipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort.catalog.model import PROTECTIONS
from ringfort.errors import UsageError
from ringfort.toml_source import parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.toml_source import TomlDocument

RULES_FILE = "grants.toml"
KINDS = ("view", "operate", "resolve", "bridge")
ACT_KINDS = ("erase", "rotate", "rewrap", "canary", "drop-evidence")
"""Acts that cannot be undone. They cover no table: what is said of `restricted` columns holds for them."""
STRICTEST_FIRST = ("restricted", "protected", "interoperable", "public")
MOST_APPROVALS = 20
LONGEST_SECONDS = 90 * 86_400

_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = {
    "view": 8 * 3_600,
    "operate": 4 * 3_600,
    "break_glass": 3_600,
    "resolve": 3_600,
    "bridge": 3_600,
    **dict.fromkeys(ACT_KINDS, 3_600),
}
_RESOLVE_MOST, _RESOLVE_WITHIN = 100, 86_400
MOST_RESOLVED = 1_000_000
_WITHIN = {"approval": 3 * 86_400, "review": 86_400}

if set(STRICTEST_FIRST) != set(PROTECTIONS):
    raise AssertionError("every protection has its place")


def _shipped() -> dict[str, dict[str, int]]:
    return {
        kind: {
            each: 2 if each == "restricted" and kind in {"operate", "resolve"} else 1
            for each in STRICTEST_FIRST
        }
        for kind in (*KINDS, *ACT_KINDS)
    }


@dataclass(frozen=True)
class GrantRules:
    """The rules; durations in seconds. `longest` knows the kinds and `break_glass`.

    `resolve_most` pseudonyms of one domain may one principal have resolved or bridged in `resolve_within`.
    """

    approvals: Mapping[str, Mapping[str, int]] = field(default_factory=_shipped)
    longest: Mapping[str, int] = field(default_factory=_LONGEST.copy)
    within: Mapping[str, int] = field(default_factory=_WITHIN.copy)
    resolve_most: int = _RESOLVE_MOST
    resolve_within: int = _RESOLVE_WITHIN


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as 90s, 30m, 8h or 3d; raises `UsageError`."""
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(f"`{text}` is not a duration", hint="write 90s, 30m, 8h or 3d, at most 90 days")
    return seconds


def duration_text(seconds: int) -> str:
    """A duration as `duration_seconds` reads it, in the largest unit that gives it exactly."""
    unit = next((each for each in "dhms" if seconds and not seconds % _UNITS[each]), "s")
    return f"{seconds // _UNITS[unit]}{unit}"


def parse_rules(text: str, path: Path | None = None) -> GrantRules:
    """Read the text of the file; raises `ConfigurationError` with file and line."""
    document = parse_toml(text, path or Path(RULES_FILE))
    data = document.data
    _known(document, (), data, ("approvals", "longest", "within", "resolve"))
    approvals = _shipped()
    counts = _table(document, ("approvals",), data)
    _known(document, ("approvals",), counts, (*KINDS, *ACT_KINDS))
    for kind in counts:
        values = _table(document, ("approvals", kind), counts)
        _known(document, ("approvals", kind), values, STRICTEST_FIRST)
        for name, value in values.items():
            if type(value) is not int or not 1 <= value <= MOST_APPROVALS:
                raise document.error(
                    f"`approvals.{kind}.{name}` must be 1 to {MOST_APPROVALS}", "approvals", kind, name
                )
            approvals[kind][name] = value
    most, within = _resolve(document)
    return GrantRules(
        approvals,
        _durations(document, "longest", _LONGEST),
        _durations(document, "within", _WITHIN),
        most,
        within,
    )


def _resolve(document: TomlDocument) -> tuple[int, int]:
    values = _table(document, ("resolve",), document.data)
    _known(document, ("resolve",), values, ("most", "within"))
    most = values.get("most", _RESOLVE_MOST)
    if type(most) is not int or not 0 <= most <= MOST_RESOLVED:
        raise document.error(f"`resolve.most` must be 0 to {MOST_RESOLVED}", "resolve", "most")
    if "within" not in values:
        return most, _RESOLVE_WITHIN
    try:
        return most, duration_seconds(values["within"] if isinstance(values["within"], str) else "")
    except UsageError as error:
        raise document.error(
            "`resolve.within` is not a duration", "resolve", "within", hint=error.hint
        ) from None


def _durations(document: TomlDocument, section: str, shipped: dict[str, int]) -> dict[str, int]:
    values = _table(document, (section,), document.data)
    _known(document, (section,), values, tuple(shipped))
    found = dict(shipped)
    for name, value in values.items():
        try:
            found[name] = duration_seconds(value if isinstance(value, str) else "")
        except UsageError as error:
            raise document.error(
                f"`{section}.{name}` is not a duration", section, name, hint=error.hint
            ) from None
    return found


def _table(document: TomlDocument, keys: tuple[str, ...], data: Mapping[str, Any]) -> dict[str, Any]:
    value = data.get(keys[-1], {})
    if not isinstance(value, dict):
        raise document.error(f"`{'.'.join(keys)}` must be a table", *keys)
    return value


def _known(
    document: TomlDocument, keys: tuple[str, ...], values: Mapping[str, Any], known: tuple[str, ...]
) -> None:
    for key in values:
        if key not in known:
            where = f" in [{'.'.join(keys)}]" if keys else ""
            raise document.error(
                f"unknown key `{key}`{where}", *keys, key, hint="known keys: " + ", ".join(known)
            )


__all__ = [
    "KINDS",
    "RULES_FILE",
    "STRICTEST_FIRST",
    "GrantRules",
    "duration_seconds",
    "duration_text",
    "parse_rules",
]
