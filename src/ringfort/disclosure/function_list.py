"""Which functions, operators and types of pg_catalog a statement may use. Default: none.

The lists stand in `functions.txt`, `operators.txt` and `types.txt` with the review's criteria;
`function_refusals.txt` holds the words for people about functions that were left out on purpose,
`notation.txt` what is needed to tell a column from a function called in the notation of one.

Invariants: names are compared as the server resolved their case; only pg_catalog is meant. Since a profile's
search_path holds nothing but its own schema of views, and pg_catalog comes first, an unqualified name that is
listed here cannot resolve to anything else.
"""

from __future__ import annotations

from ringfort.disclosure.word_list import read_words

_SECTIONS = read_words("functions.txt")
LITERAL_SECTION = "only with listed literals"
STAND_IN_SECTION = "replaced by a stand-in"
CONFIGURATION_SECTION = "with a configuration that is named"
LITERAL_FUNCTIONS: frozenset[str] = _SECTIONS[LITERAL_SECTION]
# never called themselves: `statement_rewrite` puts a function of the copies' schema in their place
STAND_INS: frozenset[str] = _SECTIONS[STAND_IN_SECTION]
# their first argument may be a text search configuration
CONFIGURATION_FUNCTIONS: frozenset[str] = _SECTIONS[CONFIGURATION_SECTION]
FUNCTIONS: frozenset[str] = frozenset().union(
    *(
        words
        for section, words in _SECTIONS.items()
        if section not in {LITERAL_SECTION, STAND_IN_SECTION, CONFIGURATION_SECTION}
    )
)
AGGREGATES: frozenset[str] = _SECTIONS["aggregate"] | {name for name in _SECTIONS["json"] if "_agg" in name}
WINDOW_FUNCTIONS: frozenset[str] = _SECTIONS["window"]
# what tells where a row lies or in which turn it was read
TELLING_FUNCTIONS: dict[str, str] = {
    name: hint for hint, words in read_words("telling_functions.txt").items() for name in words
}
# information_schema has helpers of its own; JDBC unnests index keys with this one
INFORMATION_SCHEMA_FUNCTIONS: frozenset[str] = frozenset({"_pg_expandarray"})

OPERATORS: frozenset[str] = frozenset().union(*read_words("operators.txt").values())

_TYPES = read_words("types.txt")
REFERENCE_TYPES: frozenset[str] = _TYPES["named object identifier"]
TYPES: frozenset[str] = frozenset().union(*_TYPES.values())

_NOTATION = read_words("notation.txt")
OUTPUT_COLUMNS: frozenset[str] = _NOTATION["output columns"]
ROW_FUNCTIONS: frozenset[str] = _NOTATION["row functions"]
NAMED_SCALAR_FUNCTIONS: frozenset[str] = _NOTATION["named scalar functions"]

_REFUSALS = [
    (pattern, reason)
    for reason, words in read_words("function_refusals.txt").items()
    for pattern in sorted(words)
]


def why_refused(name: str) -> str:
    """Why the known function `name` of pg_catalog is refused; empty if it is not one that we know of.

    Only a name of our own files makes this say anything, so the answer may stand in a ledger entry.
    """
    for pattern, reason in _REFUSALS:
        if name == pattern:
            return f"`{name}` {reason}"
        if pattern.endswith("*") and name.startswith(pattern[:-1]):
            return f"`{pattern}` {reason}"
    return ""


__all__ = [
    "AGGREGATES",
    "CONFIGURATION_FUNCTIONS",
    "FUNCTIONS",
    "INFORMATION_SCHEMA_FUNCTIONS",
    "LITERAL_FUNCTIONS",
    "NAMED_SCALAR_FUNCTIONS",
    "OPERATORS",
    "OUTPUT_COLUMNS",
    "REFERENCE_TYPES",
    "ROW_FUNCTIONS",
    "STAND_INS",
    "TYPES",
    "why_refused",
]
