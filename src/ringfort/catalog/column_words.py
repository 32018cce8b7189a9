"""What columns are called: words, in the languages of the region, for each kind.

A name says a kind if it matches the kind's list (`ringfort.catalog.column_patterns`), or if all of its
words written together end in a listed word of five letters or more (`useremail`). Kinds come in the order
of `KINDS_BY_NAME`: the telling ones first.
"""

from __future__ import annotations

from functools import lru_cache

from ringfort.catalog.column_patterns import Patterns, name_words
from ringfort.catalog.words import fold, ordered_words, singular, tokens, word_sections

_FILE = "column_words.txt"
_PATTERNS = {
    kind: Patterns.of(ordered_words(_FILE, kind)) for kind in word_sections(_FILE) if kind != "person"
}
KINDS_BY_NAME = tuple(_PATTERNS)
_ENDINGS = 5
_LONG = {
    kind: tuple(word for word in patterns.words if len(word) >= _ENDINGS)
    for kind, patterns in _PATTERNS.items()
}

_PERSONS = {word: rank for rank, word in reversed([*enumerate(map(fold, ordered_words(_FILE, "person")))])}
# words that stand for a person in a key, but whose table has names of other things
_NO_PEOPLE = frozenset(
    {"device", "cookie", "session", "fingerprint", "imei", "advertising", "subject", "account"}
)
_PLAIN_NAMES = frozenset(
    {"name", "names", "fullname", "first", "last", "middle", "firstandlast", "lastfirst"}
)
_KEY_ENDINGS = frozenset({"id", "ids", "uid", "uuid", "guid", "key", "pk", "fk", "identifier"})
_NUMBER_ENDINGS = frozenset({"nr", "no", "num", "number", "nummer", "numero"})


@lru_cache(maxsize=4_096)
def kinds_of_name(name: str) -> tuple[str, ...]:
    """The kinds that a column's name says, the telling ones first."""
    words = name_words(name)
    return tuple(
        kind
        for kind, patterns in _PATTERNS.items()
        if patterns.match(words) or words.joined.endswith(_LONG[kind])
    )


def is_table_of_people(name: str) -> bool:
    """Whether a table's name says people: `employees`, `mdl_user`, `Kunden 2024`."""
    words = {each for word in tokens(name) for each in (word, singular(word))}
    return any(word in _PERSONS and word not in _NO_PEOPLE for word in words)


def is_plain_name(name: str) -> bool:
    """Whether a column is called `name` and no more: in a table of people that is what they are called."""
    return "".join(tokens(name)) in _PLAIN_NAMES


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
