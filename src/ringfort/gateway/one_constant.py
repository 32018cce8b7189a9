"""A statement that a session repeats with another integer: recognised without reading it again.

`normalised_key` says which texts get one verdict; it costs a few regular expressions. A session that runs
one statement over and over with another key is recognised here by what stands before and behind the
constant. This is sound because it is learned only from a text in which exactly one run of digits stands,
without any quote, whose key is that text with the run replaced; any other run of one to nine digits there
gives the same key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ringfort.disclosure.statements import normalised_key

if TYPE_CHECKING:
    from ringfort.gateway.verdicts import Known

MOST_DIGITS = 9
_DIGITS = re.compile(rb"([0-9]+)")


class Remembered(Protocol):
    """Verdicts that are remembered."""

    def lookup(self, sql: bytes) -> Known | None:
        """The remembered verdict for a text."""
        ...


class OneConstant(NamedTuple):
    """A verdict for every text that is `before`, one to nine digits, `behind`; `size` is without digits."""

    before: bytes
    behind: bytes
    size: int
    known: Known

    def holds(self, sql: bytes) -> bool:
        """Whether `sql` is such a text."""
        digits = len(sql) - self.size
        return (
            0 < digits <= MOST_DIGITS
            and sql.startswith(self.before)
            and sql.endswith(self.behind)
            and sql[len(self.before) : len(self.before) + digits].isdigit()
        )


def learn(sql: bytes, known: Known, verdicts: Remembered) -> OneConstant | None:
    """What can be recognised from now on, given that `verdicts` says `known` of `sql`; None if nothing."""
    parts = _DIGITS.split(sql)
    if len(parts) != 3 or b"'" in sql or b'"' in sql:
        return None
    before, digits, behind = parts
    key = normalised_key(sql)
    if key is None or key == sql or len(key) != len(before) + len(behind) + 1:
        return None
    if not (key.startswith(before) and key.endswith(behind)):
        return None
    # a text that was never asked about has this very verdict only if constants do not matter for it
    other = before + (b"2" if digits == b"1" else b"1") + behind
    if verdicts.lookup(other) is not known:
        return None
    return OneConstant(before, behind, len(before) + len(behind), known)


__all__ = ["OneConstant", "learn"]
