"""`policy/policy.toml`: which purposes there are, and for which datasets the stored order of rows may show.

    accept_stored_order = ["statistics"]      # datasets by name; in the others missing order is filled

    [purposes]                                # a closed list: nobody can state another one
    customer-support = "helping a customer who asked"
    product-analytics = ""                    # the description is optional

Part of the policy bundle, so that whoever reads the record knows what was in force. Purposes are compared in
one spelling (`canonical_purpose`), in which the list must be written. A bundle without the file is one of
before: any purpose may be stated, exactly as written, and stored order is accepted nowhere. Strict: an
unknown key or a value of another sort is refused with file and line.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfort.toml_source import parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.toml_source import TomlDocument

SETTINGS_FILE = "policy.toml"
MOST_PURPOSES = 200
MOST_CHARACTERS = 128
_KEYS = ("purposes", "accept_stored_order")
_CANONICAL = re.compile(r"[a-z0-9][a-z0-9.:/#-]{0,127}")
_JOINTS = frozenset({"Pd", "Pc", "Zs", "Cf"})


def canonical_purpose(text: str) -> str:
    """The one spelling of a purpose: NFKC, lower case, no space around it, `-` between words.

    Spaces, underscores and dashes of any kind and number between words are one `-`. Letters of other
    alphabets stay what they are, however alike they look, and so match nothing.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    joined = "".join("-" if unicodedata.category(each) in _JOINTS else each for each in folded.strip())
    return re.sub(r"-{2,}", "-", joined).strip("-")


@dataclass(frozen=True)
class Purposes:
    """The purposes that may be stated, each with its description; `listed` is None if any may be."""

    listed: Mapping[str, str] | None = None

    def admitted(self, stated: str) -> str | None:
        """The purpose that a person means by what they wrote, None if there is none such.

        To state none is always possible: policies then see an empty text.
        """
        if self.listed is None or not stated:
            return stated
        if len(stated) > MOST_CHARACTERS:
            return None
        spelled = canonical_purpose(stated)
        return spelled if spelled in self.listed else None

    def holds(self, purpose: str) -> bool:
        """Whether this very spelling may be in use: what was recorded before stays only if it is listed."""
        return self.listed is None or not purpose or purpose in self.listed

    def nearest(self, stated: str) -> tuple[str, ...]:
        """Listed purposes, the most similar first."""
        spelled = canonical_purpose(stated[:MOST_CHARACTERS])
        known = sorted(self.listed or ())
        return tuple(sorted(known, key=lambda each: -difflib.SequenceMatcher(None, spelled, each).ratio()))

    def fault(self, stated: str) -> tuple[str, str] | None:
        """Message and hint if a file names a purpose that is not on the list, or spells it otherwise."""
        if self.holds(stated):
            return None
        meant = self.admitted(stated)
        if meant is not None:
            return f"purpose `{stated}` is not in its one spelling", f"write `{meant}`"
        near = self.nearest(stated)[:3]
        hint = f"listed are {', '.join(f'`{each}`' for each in near)}; or " if near else ""
        return (
            f"purpose `{stated}` is not one of the purposes in {SETTINGS_FILE}",
            f"{hint}add it under [purposes] in policy/{SETTINGS_FILE}",
        )


@dataclass(frozen=True)
class PolicySettings:
    """What `policy.toml` says. The default is a bundle without the file."""

    purposes: Purposes = Purposes()
    accept_stored_order: frozenset[str] = frozenset()
    """Names of datasets for which rows may be shown in the order in which they are stored."""


def parse_settings(text: str, path: Path | None = None) -> PolicySettings:
    """Read the text of the file; raises `ConfigurationError` with file and line."""
    document = parse_toml(text, path or Path(SETTINGS_FILE))
    for key in document.data:
        if key not in _KEYS:
            raise document.error(f"unknown key `{key}`", key, hint="known keys: " + ", ".join(_KEYS))
    return PolicySettings(_purposes(document), _datasets(document))


def _purposes(document: TomlDocument) -> Purposes:
    values: Any = document.data.get("purposes")
    if values is None:
        raise document.error(
            "`purposes` is missing", hint='write [purposes] and a line for each, such as complaint = ""'
        )
    if not isinstance(values, dict):
        raise document.error('`purposes` must be a table of lines such as complaint = ""', "purposes")
    if len(values) > MOST_PURPOSES:
        raise document.error(f"`purposes` has more than {MOST_PURPOSES}", "purposes")
    for name, description in values.items():
        if not isinstance(description, str) or len(description) > 1000:
            raise document.error(
                f"`purposes.{name}` must be a text of at most 1000 characters", "purposes", name
            )
        spelled = canonical_purpose(name)
        if spelled != name or not _CANONICAL.fullmatch(name):
            valid = _CANONICAL.fullmatch(spelled)
            raise document.error(
                f"purpose `{name}` is not in the one spelling in which purposes are compared",
                "purposes",
                name,
                hint=f"write `{spelled}`" if valid else "use a to z, digits and . : / # -, at most 128",
            )
    return Purposes(dict(values))


def _datasets(document: TomlDocument) -> frozenset[str]:
    values = document.data.get("accept_stored_order", [])
    if not isinstance(values, list) or not all(isinstance(each, str) and each for each in values):
        raise document.error("`accept_stored_order` must be a list of datasets", "accept_stored_order")
    return frozenset(values)


__all__ = [
    "SETTINGS_FILE",
    "PolicySettings",
    "Purposes",
    "canonical_purpose",
    "parse_settings",
]
