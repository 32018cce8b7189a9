"""What columns are called: words, in the languages of the EU that matter most in schemas, for each kind.

A name says a kind if one of its words is listed, or if all of its words written together are, or end in a
listed word of five letters or more (`useremail`). Kinds come in the order of `KINDS_BY_NAME`: the telling
ones first.
"""

from __future__ import annotations

from itertools import pairwise

from ringfort.catalog.words import ordered_words, singular, tokens, word_lists

_WORDS = {name: words for name, words in word_lists("column_words.txt").items() if name != "person"}
KINDS_BY_NAME = tuple(_WORDS)
_ENDINGS = 5

_PERSONS = {word: rank for rank, word in enumerate(ordered_words("column_words.txt", "person"))}
_KEY_ENDINGS = frozenset({"id", "ids", "uid", "uuid", "guid", "key", "pk", "fk", "identifier"})
_NUMBER_ENDINGS = frozenset({"nr", "no", "num", "number", "nummer", "numero"})


def kinds_of_name(name: str) -> tuple[str, ...]:
    """The kinds that a column's name says, the telling ones first."""
    words = tokens(name)
    joined = "".join(words)
    pairs = {left + right for left, right in pairwise(words)}
    return tuple(
        kind
        for kind, listed in _WORDS.items()
        if joined in listed
        or listed.intersection(words)
        or listed & pairs
        or any(len(word) >= _ENDINGS and joined.endswith(word) for word in listed)
    )


def key_stem(name: str) -> tuple[str, ...] | None:
    """The words before a key's ending: `CustomerID`, `customer_no` -> ("customer",); None if it is no key."""
    words = tokens(name)
    if not words:
        return None
    if words[-1] in _KEY_ENDINGS | _NUMBER_ENDINGS:
        return words[:-1]
    last = words[-1]
    if last.endswith("id") and singular(last[:-2]) in _PERSONS:  # `customerid`, as PostgreSQL folds it
        return (*words[:-1], last[:-2])
    return None


def is_numbered(name: str) -> bool:
    """Whether a key's name says number rather than id: `InvoiceNo`; those may as well be codes."""
    words = tokens(name)
    return bool(words) and words[-1] in _NUMBER_ENDINGS


def person_rank(words: tuple[str, ...]) -> int | None:
    """How surely `words` (of a key's stem or a table's name) mean a person: 0 is surest, None not at all."""
    ranks = [_PERSONS[each] for word in words for each in {word, singular(word)} if each in _PERSONS]
    return min(ranks, default=None)
