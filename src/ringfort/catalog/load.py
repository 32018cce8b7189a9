"""`catalog.toml` to the model and back: `load_catalogue(dump_catalogue(x)) == x` for every valid catalogue.

Strict: an unknown key, class or kind is refused by name, with file and line. One convenience: a column of
kind `key`, or one with `references`, has an identity space even where none is written, namely that of the
key it refers to, else `dataset.table.column`; `identity_space = ""` says that it has none. DESIGN section
9.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ringfort.catalog.check import problems
from ringfort.catalog.model import (
    IDENTIFIABILITIES,
    PROTECTIONS,
    Catalogue,
    Column,
    Dataset,
    Identifiability,
    Protection,
    Table,
    split_reference,
)
from ringfort.toml_source import TomlDocument, load_toml, parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DATASET_KEYS = {"database": str, "subject": str, "table": dict}
_TABLE_KEYS = {"schema": str, "subject_path": str, "primary_key": list, "view": str, "column": dict}
_COLUMN_KEYS = {
    "protection": str,
    "identifiability": str,
    "kind": str,
    "type": str,
    "nullable": bool,
    "identity_space": str,
    "references": str,
    "unsure": str,
}
_WORDS = {str: "a text", bool: "true or false", list: "a list of texts", dict: "a table"}
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = """\
# What data there is. Policy decides on these words; `ringfort policy check` says whether they hold together.
#   protection       restricted | protected | interoperable | public
#   identifiability  direct | quasi | none
# A column without both is unclassified, and hidden for everyone. `unsure` says why a column needs a look;
# delete it when you have looked.
"""


def load_catalogue(path: Path) -> Catalogue:
    """Read `catalog.toml`; raises `ConfigurationError` with file and line."""
    return _from_document(load_toml(path))


def parse_catalogue(text: str, path: Path) -> Catalogue:
    """`load_catalogue` of `text`, as if it stood in `path`."""
    return _from_document(parse_toml(text, path))


def dump_catalogue(catalogue: Catalogue) -> str:
    """The text of `catalog.toml` for a catalogue that `check.problems` finds nothing wrong with."""
    parts = [_HEADER]
    for dataset in catalogue.datasets:
        nobody = "" if dataset.subject else "  # nobody: rows belong to no person"
        parts.append(
            f"\n[dataset.{_key(dataset.name)}]\n"
            f"database = {_text(dataset.database)}\n"
            f"subject = {_text(dataset.subject)}{nobody}\n"
        )
        for table in dataset.tables:
            head = f"dataset.{_key(dataset.name)}.table.{_key(table.name)}"
            primary_key = ", ".join(_text(each) for each in table.primary_key)
            parts.append(f"\n[{head}]\nschema = {_text(table.schema)}\nprimary_key = [{primary_key}]\n")
            if table.subject_path:
                parts.append(f"subject_path = {_text(table.subject_path)}\n")
            if table.view:
                parts.append(f"view = {_text(table.view)}  # the plain name is taken or reserved\n")
            if table.columns:
                parts.append(f"\n[{head}.column]\n")
                parts += _column_lines(dataset, table)
    return "".join(parts)


def _column_lines(dataset: Dataset, table: Table) -> list[str]:
    keys = [_key(each.name) for each in table.columns]
    width = min(max(map(len, keys)), 32)
    lines = []
    for key, column in zip(keys, table.columns, strict=True):
        pairs: list[tuple[str, str]] = []
        if column.protection is not None and column.identifiability is not None:
            pairs.append(("protection", _text(column.protection)))
            pairs.append(("identifiability", _text(column.identifiability)))
        pairs.append(("kind", _text(column.kind)))
        pairs.append(("type", _text(column.data_type)))
        if not column.nullable:
            pairs.append(("nullable", "false"))
        if column.references is not None:
            pairs.append(("references", _text(".".join(column.references))))
        if column.identity_space != default_identity_space(dataset, table.name, column):
            pairs.append(("identity_space", _text(column.identity_space or "")))
        if column.unsure:
            pairs.append(("unsure", _text(column.unsure)))
        body = ", ".join(f"{name} = {value}" for name, value in pairs)
        comment = "" if column.classified else "  # unclassified: hidden for everyone"
        lines.append(f"{key:<{width}} = {{ {body} }}{comment}\n")
    return lines


def default_identity_space(dataset: Dataset, table: str, column: Column) -> str | None:
    """The identity space of a column where none is written: see the module."""
    if column.references is not None:
        for own in dataset.tables:
            for each in own.columns:
                if (own.name, each.name) == column.references and each is not column:
                    return each.identity_space
    if column.kind == "key" or column.references is not None:
        return f"{dataset.name}.{table}.{column.name}"
    return None


def _from_document(document: TomlDocument) -> Catalogue:
    for key in document.data:
        if key != "dataset":
            raise document.error(f"unknown key `{key}`", key, hint="datasets are written as [dataset.NAME]")
    datasets = _mapping(document, document.data.get("dataset", {}), ("dataset",))
    catalogue = Catalogue(tuple(_dataset(document, name, each) for name, each in datasets.items()))
    for problem in problems(catalogue):
        raise document.error(problem.message, *problem.keys, hint=problem.hint)
    return catalogue


def _dataset(document: TomlDocument, name: str, value: object) -> Dataset:
    keys = ("dataset", name)
    data = _checked(document, value, keys, _DATASET_KEYS)
    written: set[tuple[str, str]] = set()
    tables = []
    values = _mapping(document, data.get("table", {}), (*keys, "table"))
    places = {
        (table, column)
        for table, each in values.items()
        if isinstance(each, dict) and isinstance(each.get("column"), dict)
        for column in each["column"]
    }
    for table, each in values.items():
        tables.append(_table(document, each, (*keys, "table", table), written, places))
    dataset = Dataset(name, data.get("database", name), data.get("subject", ""), tuple(tables))
    return _with_spaces(dataset, written)


def _with_spaces(dataset: Dataset, written: set[tuple[str, str]]) -> Dataset:
    """Fill in identity spaces that are not written; as often as chains of foreign keys are long."""
    for _ in range(len(dataset.tables) + 1):
        before = dataset
        dataset = replace(
            dataset,
            tables=tuple(
                replace(
                    table,
                    columns=tuple(
                        column
                        if (table.name, column.name) in written
                        else replace(
                            column, identity_space=default_identity_space(dataset, table.name, column)
                        )
                        for column in table.columns
                    ),
                )
                for table in dataset.tables
            ),
        )
        if dataset == before:
            break
    return dataset


def _table(
    document: TomlDocument,
    value: object,
    keys: tuple[str, ...],
    written: set[tuple[str, str]],
    places: set[tuple[str, str]],
) -> Table:
    name, data = keys[-1], _checked(document, value, keys, _TABLE_KEYS)
    primary_key = data.get("primary_key", [])
    if not all(isinstance(each, str) for each in primary_key):
        raise document.error("`primary_key` must be a list of texts", *keys, "primary_key")
    columns = []
    for column, each in _mapping(document, data.get("column", {}), (*keys, "column")).items():
        columns.append(_column(document, column, each, (*keys, "column", column), places))
        if "identity_space" in cast("dict[str, object]", each):
            written.add((name, column))
    if data.get("view") == "":
        raise document.error("`view` is empty", *keys, "view", hint="leave it out for the table's own name")
    return Table(
        data.get("schema", "public"), name, tuple(columns), data.get("subject_path", ""), tuple(primary_key),
        data.get("view", ""),
    )  # fmt: skip


def _column(
    document: TomlDocument, name: str, value: object, keys: tuple[str, ...], places: set[tuple[str, str]]
) -> Column:
    data = _checked(document, value, keys, _COLUMN_KEYS)
    for key, known in (("protection", PROTECTIONS), ("identifiability", IDENTIFIABILITIES)):
        if key in data and data[key] not in known:
            raise document.error(
                f"`{key}` is `{data[key]}`, which is not known", *keys, key, hint="known: " + ", ".join(known)
            )
    references = None
    if "references" in data:
        references = split_reference(data["references"], places)
        if references is None:
            raise document.error("`references` must be written as `table.column`", *keys, "references")
    return Column(
        name=name,
        data_type=data.get("type", ""),
        protection=cast("Protection | None", data.get("protection")),
        identifiability=cast("Identifiability | None", data.get("identifiability")),
        kind=data.get("kind", "unknown"),
        identity_space=data.get("identity_space") or None,
        references=references,
        nullable=data.get("nullable", True),
        unsure=data.get("unsure", ""),
    )


def _mapping(document: TomlDocument, value: object, keys: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise document.error(f"`{keys[-1]}` must be a table", *keys)
    return value


def _checked(
    document: TomlDocument, value: object, keys: tuple[str, ...], known: Mapping[str, type]
) -> dict[str, Any]:
    data = _mapping(document, value, keys)
    for key, each in data.items():
        if key not in known:
            raise document.error(
                f"unknown key `{key}`", *keys, key, hint="known keys: " + ", ".join(sorted(known))
            )
        if not isinstance(each, known[key]):
            raise document.error(f"`{key}` must be {_WORDS[known[key]]}", *keys, key)
    return data


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's too, but TOML also wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
