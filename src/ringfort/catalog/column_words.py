"""What columns are called: words, in the languages of the region, for each kind.

A name says a kind if it matches the kind's list (`ringfort.catalog.column_patterns`), if all of its words
written together end in a listed word of five letters or more (`useremail`) or, for what reaches a person,
begin with one (`telefonprivat`), or if one of its words is two listed ones run together (`lastip`). Kinds
come in the order of `KINDS_BY_NAME`: the telling ones first.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from ringfort.catalog.column_patterns import Patterns, name_words
from ringfort.catalog.words import fold, ordered_words, singular, tokens, word_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = "column_words.txt"
_NO_KINDS = frozenset({"person", "role", "beside"})
_PATTERNS = {
    kind: Patterns.of(ordered_words(_FILE, kind)) for kind in word_sections(_FILE) if kind not in _NO_KINDS
}
KINDS_BY_NAME = tuple(_PATTERNS)
_ENDINGS = 5
_LONG = {
    kind: tuple(word for word in patterns.words if len(word) >= _ENDINGS)
    for kind, patterns in _PATTERNS.items()
}
_REACHING = ("email", "phone", "address", "birth_date", "national_id", "iban")
_BEGINNINGS = {
    kind: tuple(word for word in _PATTERNS[kind].words if len(word) >= _ENDINGS) for kind in _REACHING
}
_RUN_TOGETHER = (*_REACHING, "name", "ip_address", "postcode", "city", "country", "gender")

_PERSONS = {word: rank for rank, word in reversed([*enumerate(map(fold, ordered_words(_FILE, "person")))])}
# words that stand for a person in a key, but whose table has names of other things
_NO_PEOPLE = frozenset(
    {"device", "cookie", "session", "fingerprint", "imei", "advertising", "subject", "account"}
)
_PLAIN_NAMES = frozenset(
    {"name", "names", "fullname", "first", "last", "middle", "firstandlast", "lastfirst"}
)
# what somebody is to a record: `comment_author`; as a number it is their key, as text their name
_ROLES = frozenset(map(fold, ordered_words(_FILE, "role")))
_BESIDE = frozenset(map(fold, ordered_words(_FILE, "beside")))
_KEY_BEGINNINGS = frozenset({"id", "cod", "codigo", "codice", "fk", "ref"})
_NO_KEYS = ("ent", "io", "eal")  # `identidad`, `idioma`, `ideal`: words of their own
_SHORTEST_STEM = 4
# in a table of people: what they are at work, or how they are spoken to
_TITLES = frozenset(
    {"title", "titles", "titel", "titre", "titolo", "titulo", "tytul", "titul", "tiitel", "cim"}
)
_NAMES = frozenset(
    {"name", "nm", "navn", "namn", "naam", "nom", "nome", "nombre", "nimi", "nafn", "isim", "ime"}
)
_SHARED = 0.6
_FEWEST = 4
_KEY_ENDINGS = frozenset({"id", "ids", "uid", "uuid", "guid", "key", "pk", "fk", "identifier"})
_NUMBER_ENDINGS = frozenset({"nr", "no", "num", "number", "nummer", "numero"})


@lru_cache(maxsize=65_536)
def kinds_of_name(name: str) -> tuple[str, ...]:
    """The kinds that a column's name says, the telling ones first."""
    words = name_words(name)
    joined = words.joined.rstrip("0123456789")
    names_somebody = words.bare[-1:] and words.bare[-1] in _NAMES and is_table_of_people(name)
    return tuple(
        kind
        for kind, patterns in _PATTERNS.items()
        if patterns.match(words)
        or joined.endswith(_LONG[kind])
        or joined.startswith(_BEGINNINGS.get(kind, ()))
        or (kind == "name" and names_somebody)
        or (kind in _RUN_TOGETHER and any(_run_together(word, patterns.words) for word in words.bare))
    )


def _run_together(word: str, listed: frozenset[str]) -> bool:
    """Whether `word` is a listed one with a word beside it, or two listed ones: `lastip`, `cifnif`."""
    for at in range(2, len(word) - 1):
        left, right = word[:at], word[at:]
        if (left in listed and (right in listed or right in _BESIDE)) or (
            right in listed and left in _BESIDE
        ):
            return True
    return False


def is_role(name: str) -> bool:
    """Whether a name says what somebody is to a record, or ends in `by`: `post_author`, `changed_by`."""
    words = tokens(name)
    if not words:
        return False
    return not _ROLES.isdisjoint({words[-1], "".join(words[-2:])}) or (len(words) > 1 and words[-1] == "by")


def is_table_of_people(name: str) -> bool:
    """Whether a table's name says people: `employees`, `mdl_user`, `Kunden 2024`."""
    words = {each for word in tokens(name) for each in (word, singular(word))}
    return any(word in _PERSONS and word not in _NO_PEOPLE for word in words)


def is_plain_name(name: str) -> bool:
    """Whether a column is called `name` and no more: in a table of people that is what they are called."""
    return "".join(tokens(name)) in _PLAIN_NAMES


def is_of_somebody(name: str) -> bool:
    """Whether a column's name says a person or what somebody is to a record."""
    return is_role(name) or is_table_of_people(name)


def is_title(name: str) -> bool:
    """Whether a column is called `title`, alone or with words beside it: `title_of_courtesy`."""
    return not _TITLES.isdisjoint(tokens(name))


def shared_words(columns: Sequence[str]) -> frozenset[str]:
    """The words that most columns of a table have in their names (`adh` of `nom_adh`): they tell nothing."""
    if len(columns) < _FEWEST:
        return frozenset()
    counted = Counter(word for each in columns for word in set(tokens(each)))
    return frozenset(word for word, count in counted.items() if count >= _SHARED * len(columns))


@lru_cache(maxsize=8)
def shared_prefix(tables: frozenset[str]) -> frozenset[str]:
    """The word that most tables' names begin with, if one does: `wp` of `wp_posts`."""
    firsts = Counter(words[0] for words in map(tokens, tables) if len(words) > 1)
    return frozenset(word for word, count in firsts.items() if count >= max(_FEWEST - 1, len(tables) / 2))


def without(name: str, shared: frozenset[str]) -> str:
    """A column's name without the words that its neighbours have, too; as it is if nothing would be left."""
    words = tokens(name)
    left = [word for word in words if word not in shared]
    return "_".join(left) if left and len(left) < len(words) else name


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
    if len(words) > 1 and words[0] in _KEY_BEGINNINGS:  # `id_cliente`
        return words[1:]
    stem = last[2:]
    if (
        len(words) == 1
        and last.startswith("id")
        and len(stem) >= _SHORTEST_STEM
        and not stem.startswith(_NO_KEYS)
    ):
        return (stem,)  # `idcliente`
    return None


def begins_as_key(name: str) -> bool:
    """Whether only a name's beginning says a key: `cod_cliente`, `idzona`, but not `cliente_id`."""
    words = tokens(name)
    endings = _KEY_ENDINGS | _NUMBER_ENDINGS
    return bool(words) and words[-1] not in endings and not words[-1].endswith("id")


def is_numbered(name: str) -> bool:
    """Whether a key's name says number rather than id: `InvoiceNo`; those may as well be codes."""
    words = tokens(name)
    return bool(words) and words[-1] in _NUMBER_ENDINGS


def person_rank(words: tuple[str, ...]) -> int | None:
    """How surely `words` (of a key's stem or a table's name) mean a person: 0 is surest, None not at all."""
    ranks = [_PERSONS[each] for word in words for each in {word, singular(word)} if each in _PERSONS]
    return min(ranks, default=None)
