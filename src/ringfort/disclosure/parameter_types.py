"""Which types a Parse message may give its parameters, by number: a closed list, and types of shown columns.

A number names any type of the database: the row type of a table that is not shown, an enumerated type, a
domain. `pg_typeof($1)` would print its name, `row_to_json($1)` its columns, `enum_range($1)` its labels, and
a domain's CHECK would answer guesses about its values. So a number is one of `parameter_types.txt`, or one
that the session's surface shows. 0 leaves the type to the server, which infers it from what stands beside the
parameter: from what was judged.
"""

from __future__ import annotations

import struct
from typing import Final

from ringfort.disclosure.word_list import read_lines

UNSPECIFIED: Final = 0

NUMBERS: Final[dict[str, tuple[int, ...]]] = {
    name: tuple(map(int, numbers))
    for name, *numbers in (line.split() for line in read_lines("parameter_types.txt")["numbers"])
}
"""Name of a type -> its number, and that of its array type if it has one."""

LISTED: Final = frozenset({UNSPECIFIED}).union(*NUMBERS.values())


def may_name(types: bytes, shown: frozenset[int] = frozenset()) -> bool:
    """Whether all types of a Parse message (as it has them: Int16 count, Int32 each) may be named."""
    numbers = struct.unpack_from(f"!{len(types) // 4}I", types, 2)
    return all(number in LISTED or number in shown for number in numbers)


__all__ = ["LISTED", "NUMBERS", "UNSPECIFIED", "may_name"]
