"""The allow-list's data files: readable text with sections, shipped inside the package.

Format: `[section]` opens a section, `#` at the start of a line opens a comment, everything else is names
separated by white space. Reading is strict: a name before the first section is an error.
"""

from __future__ import annotations

from importlib import resources


def read_lines(file_name: str) -> dict[str, list[str]]:
    """The lines of each section of the data file `file_name` of this package, without comments and blanks."""
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    text = resources.files("ringfort.disclosure").joinpath(file_name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.strip() or line.startswith("# ") or line == "#":
            continue
        if line.startswith("["):
            current = sections.setdefault(line.strip()[1:-1], [])
            continue
        if current is None:
            raise AssertionError(f"{file_name}: a name stands before the first section")
        current.append(line.strip())
    return sections


def read_words(file_name: str) -> dict[str, frozenset[str]]:
    """The names of each section of the data file `file_name` of this package."""
    return {
        section: frozenset(word for line in lines for word in line.split())
        for section, lines in read_lines(file_name).items()
    }


__all__ = ["read_lines", "read_words"]
