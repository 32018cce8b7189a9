"""How well `ringfort init` recognises columns: its proposals held against labels given by hand.

The schemas are public ones (`bench/public_schemas`, how they were labelled: its README.md), in two sets:
words and rules are improved on `tuned`, `held_out` says how they do where nobody tuned. A schema has names
and types only, as an empty database has; a file has the values that its documentation lists, spread over its
rows, so that most of what values would add is not measured. With --database the same labels are held against
a database that holds the source's own rows.

    python bench/detection.py [--json FILE] [--show OUTCOME [--set SET]]
    python bench/detection.py --database DSN --schema NAME

What is counted, each column once, `either` not at all:

    right       the class that its label asks for, by being recognised
    doubted     personal and not recognised as what it is, but protected as much as its label asks: hidden for
                everyone, or protected with a mark
    missed      personal, and proposed as less than its label asks: direct identifiers below `direct`, special
                categories below `restricted`, the rest as nothing personal, secrets shown
    protected   harmless, and proposed as personal: shown reduced, or as pseudonyms
    hidden      harmless, and hidden or restricted
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa

from ringfort.catalog.sample import SampledColumn, SampledTable
from ringfort.catalog.scan import propose
from ringfort.sites.introspect import read_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ringfort.catalog.model import Column

FOLDER = Path(__file__).with_name("public_schemas")
SETS = ("tuned", "held_out")
PERSONAL = ("direct", "special", "personal", "key", "secret")
LABELS = (*PERSONAL, "harmless", "either")
OUTCOMES = ("right", "doubted", "missed", "protected", "hidden")
ROWS = 400
_DOUBTS = ("was not recognised", "whose meaning is not known", "what they say is not known")


@dataclass(frozen=True)
class Judged:
    """One column: what it is, what it was proposed as, and what becomes of that."""

    schema: str
    table: str
    label: str
    outcome: str
    column: Column


def read_schema(path: Path) -> tuple[list[SampledTable], dict[tuple[str, str], str]]:
    """The tables of a file of labels, and the label of each (table, column)."""
    tables: list[SampledTable] = []
    labels: dict[tuple[str, str], str] = {}
    table, key, columns = "", (), []  # type: str, tuple[str, ...], list[SampledColumn]

    def close() -> None:
        if columns:
            rows = max(len(each.values) for each in columns)
            tables.append(SampledTable("public", table, tuple(columns), rows or -1, key))

    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if line.startswith("#"):
            continue
        if line.startswith("["):
            close()
            table, columns = fields[0].strip("[]"), []
            key = tuple(fields[1].split(",")) if len(fields) > 1 else ()
            continue
        name, data_type, label, reference, values = (*fields, "-", "")[:5]
        if label not in LABELS:
            raise SystemExit(f"{path}: label {label!r}")
        target = tuple(reference.split(".")) if reference != "-" else ()
        references = ("public", target[0], target[1]) if target else None
        columns.append(
            SampledColumn(name, data_type, pa.array(spread(values), pa.string()), True, None, references)
        )
        labels[table, name] = label
    close()
    return tables, labels


def spread(values: str) -> list[str]:
    """`a|b|c` or `1..9` over so many rows, unevenly, the same each time; nothing for nothing."""
    if not values:
        return []
    low, dots, high = values.partition("..")
    if not dots or "|" in values:
        listed = values.split("|")
        return [listed[at * at * 7 % 101 % len(listed)] for at in range(ROWS)]
    span = float(high) - float(low)
    points = [float(low) + span * (at * 61 % ROWS) / (ROWS - 1) for at in range(ROWS)]
    return [f"{each:.1f}" if "." in low else f"{each:.0f}" for each in points]


def outcome(label: str, column: Column) -> str:
    """What a proposal is worth for a column of `label`."""
    hidden = not column.classified
    restricted = column.protection == "restricted"
    told = column.identifiability == "none"
    if label == "harmless":
        return "hidden" if hidden or restricted else "right" if told else "protected"
    doubted = hidden or any(each in column.unsure for each in _DOUBTS)
    right = {
        "secret": hidden or restricted,
        "direct": column.identifiability == "direct",
        "special": restricted and not doubted,
        "key": column.kind == "key" or column.identifiability == "direct",
        "personal": not told or restricted,
    }[label]
    if right and not (doubted and label == "personal"):
        return "right"
    enough = {
        "direct": restricted,
        "special": restricted or column.identifiability == "direct",
    }.get(label, not told or restricted)
    return "doubted" if hidden or enough else "missed"


def judge(
    schema: str, tables: Sequence[SampledTable], labels: dict[tuple[str, str], str]
) -> Iterator[Judged]:
    """Each labelled column but those where either class would be right."""
    for dataset in propose(tables, dataset="d", database="d").datasets:
        for table in dataset.tables:
            for column in table.columns:
                label = labels.get((table.name, column.name), "either")
                if label != "either":
                    yield Judged(schema, table.name, label, outcome(label, column), column)


def judged_set(name: str) -> list[Judged]:
    """All columns of one set."""
    return [
        each
        for path in sorted((FOLDER / name).glob("*.tsv"))
        for each in judge(path.stem, *read_schema(path))
    ]


def figures(judged: Sequence[Judged]) -> dict[str, int]:
    """Counts: columns, right ones, personal ones doubted and missed, harmless ones over-protected."""
    personal = [each for each in judged if each.label != "harmless"]
    counted = Counter(each.outcome for each in judged)
    return {
        "columns": len(judged),
        "right": counted["right"],
        "personal": len(personal),
        "personal_right": sum(each.outcome == "right" for each in personal),
        "doubted": counted["doubted"],
        "missed": counted["missed"],
        "harmless": len(judged) - len(personal),
        "harmless_right": counted["right"] - sum(each.outcome == "right" for each in personal),
        "protected": counted["protected"],
        "hidden": counted["hidden"],
    }


def report(name: str, judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Print a table of one set, and give its figures by schema, by label, and in total."""
    found = {
        schema: figures([each for each in judged if each.schema == schema])
        for schema in dict.fromkeys(each.schema for each in judged)
    }
    for label in LABELS[:-1]:
        found[f"label {label}"] = figures([each for each in judged if each.label == label])
    found["total"] = figures(judged)
    heads = ("columns", "right", "", "personal", "doubted", "missed", "harmless", "protected", "hidden")
    print(f"\n{name:24}" + "".join(f"{each:>10}" for each in heads))
    for row, each in found.items():
        share = f"{100 * each['right'] / max(each['columns'], 1):.0f} %"
        print(f"{row:24}" + "".join(f"{each[head] if head else share:>10}" for head in heads))
    return found


def show(judged: Sequence[Judged], what: str) -> None:
    """List the columns of one outcome, with what they were proposed as."""
    for each in judged:
        if each.outcome == what:
            column = each.column
            place = f"{each.schema}.{each.table}.{column.name} ({column.data_type})"
            classes = f"{column.protection}, {column.identifiability}, {column.kind}"
            print(f"{place} {each.label}: {classes}; {column.unsure}")


def from_database(dsn: str, schema: str) -> list[Judged]:
    """The labels of `schema` held against what a database holds."""
    (path,) = FOLDER.glob(f"*/{schema}.tsv")
    _, labels = read_schema(path)
    with psycopg.connect(dsn, autocommit=True) as connection:
        tables = read_tables(connection)
    lower = {(table.casefold(), column.casefold()): label for (table, column), label in labels.items()}
    known = {
        (table.name, column.name): lower.get((table.name.casefold(), column.name.casefold()), "either")
        for table in tables
        for column in table.columns
    }
    return list(judge(schema, tables, known))


def main() -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    parser.add_argument("--show", choices=OUTCOMES, help="list the columns of this outcome")
    parser.add_argument("--set", choices=SETS, default="tuned", help="of this set (default: tuned)")
    parser.add_argument("--database", metavar="DSN", help="measure the rows of a database")
    parser.add_argument("--schema", metavar="NAME", help="whose labels the database's columns have")
    options = parser.parse_args()
    if options.database:
        judged = from_database(options.database, options.schema)
        found = {"database": report(f"{options.schema}, with rows", judged)}
        if options.show:
            show(judged, options.show)
    elif options.show:
        show(judged_set(options.set), options.show)
        return 0
    else:
        found = {name: report(name, judged_set(name)) for name in SETS}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
