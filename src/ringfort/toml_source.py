"""TOML that remembers where things stand, so that an error can name file and line.

`tomllib` gives values without positions; this module finds the line of a key path by reading the text again.
It is used for messages only: the values always come from `tomllib`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


@dataclass(frozen=True)
class TomlDocument:
    """A parsed TOML file: its values, its text and where it came from."""

    path: Path
    text: str
    data: dict[str, Any]

    def line_of(self, *keys: str) -> int:
        """The line (from 1) on which the key path stands; the nearest enclosing one if it cannot be told."""
        return locate(self.text, keys)

    def error(self, message: str, *keys: str, hint: str = "") -> ConfigurationError:
        """A `ConfigurationError` that points at the key path."""
        return ConfigurationError(message, path=self.path, line=self.line_of(*keys), hint=hint)


def load_toml(path: Path) -> TomlDocument:
    """Read and parse `path`; raises `ConfigurationError` naming the file and the line."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError("no such file", path=path, hint="`ringfort init` writes it") from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", path=path) from None
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"is larger than {MAX_BYTES} bytes", path=path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("is not UTF-8", path=path, line=line) from None
    return parse_toml(text, path)


def parse_toml(text: str, path: Path) -> TomlDocument:
    """Parse `text` as if it stood in `path`; raises `ConfigurationError` naming the file and the line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        message = re.sub(r"\s*\(at .*\)$", "", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise ConfigurationError(
            f"not valid TOML: {message[:1].lower()}{message[1:]}", path=path, line=line
        ) from None
    return TomlDocument(path=path, text=text, data=data)


def split_key(text: str) -> tuple[tuple[str, ...], int]:
    """Split a dotted TOML key at the start of `text`; gives the parts and where the key ends."""
    parts: list[str] = []
    position = 0
    while True:
        match = _PART.match(text, position)
        if match is None:
            return tuple(parts), position
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if position >= len(text) or text[position] != ".":
            return tuple(parts), position
        position += 1


def locate(text: str, keys: tuple[str, ...]) -> int:
    """The line (from 1) of the longest prefix of `keys` that can be found; 1 if none can."""
    best_line, best_depth = 1, 0
    prefix: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            prefix, _ = split_key(stripped.lstrip("["))
            depth = _common(prefix, keys)
            if depth == len(prefix) and depth > best_depth:
                best_line, best_depth = number, depth
            continue
        parts, end = split_key(stripped)
        if not parts or not stripped[end:].startswith("="):
            continue
        full = prefix + parts
        depth = min(len(full), len(keys))
        if _common(full, keys) == depth and depth > best_depth:
            best_line, best_depth = number, depth
    return best_line


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
