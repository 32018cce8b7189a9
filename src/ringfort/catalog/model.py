"""What data there is: datasets, tables and columns with the classes that policy decides on.

Values only: no file, no database. A column whose `protection` is None is unclassified, which means hidden for
everyone. The order of datasets, tables and columns is part of the value (views show columns in it), so it is
part of the digest. Canonical JSON is RFC 8785: the keys are ASCII and there are no floats, so sorted keys and
UTF-8 text are all it takes. Whether references point at something is checked in `ringfort.catalog.check`.
DESIGN sections 3 and 9.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import orjson

from ringfort.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

Protection = Literal["restricted", "protected", "interoperable", "public"]
Identifiability = Literal["direct", "quasi", "none"]

PROTECTIONS: tuple[Protection, ...] = get_args(Protection)
IDENTIFIABILITIES: tuple[Identifiability, ...] = get_args(Identifiability)
KINDS: frozenset[str] = frozenset(
    {
        "key", "name", "email", "phone", "ip_address", "birth_date", "date", "timestamp", "address",
        "postcode", "city", "country", "gender", "age", "iban", "card", "national_id", "amount", "number",
        "url", "free_text", "content", "code", "category", "flag", "location", "user_agent", "unknown",
    }
)  # fmt: skip
FORMAT = "ringfort-catalogue/1"


@dataclass(frozen=True)
class Column:
    """One column: PostgreSQL type as text, classes, and for keys the identity space that they live in.

    `references` is (table, column) within the same dataset. `unsure` says why a proposal needs a look, "" if
    it does not.
    """

    name: str
    data_type: str
    protection: Protection | None = None
    identifiability: Identifiability | None = None
    kind: str = "unknown"
    identity_space: str | None = None
    references: tuple[str, str] | None = None
    nullable: bool = True
    unsure: str = ""

    @property
    def classified(self) -> bool:
        """Whether policy may be asked about it at all; if not, it is hidden for everyone."""
        return self.protection is not None and self.identifiability is not None


@dataclass(frozen=True)
class Hop:
    """One step of a subject path: `column` of the table at hand refers to `table.target`."""

    column: str
    table: str
    target: str

    def __str__(self) -> str:
        return f"{self.column} -> {self.table}.{self.target}"


@dataclass(frozen=True)
class Table:
    """A table; `subject_path` leads to the data subject: hops `column -> table.column`, joined by `, `.

    `view`: the name under which people see it, where that is not the table's own.
    """

    schema: str
    name: str
    columns: tuple[Column, ...] = ()
    subject_path: str = ""
    primary_key: tuple[str, ...] = ()
    view: str = ""

    @property
    def seen_as(self) -> str:
        """The name of its view."""
        return self.view or self.name

    def column(self, name: str) -> Column:
        """The column called `name`; raises `UsageError` if there is none."""
        for each in self.columns:
            if each.name == name:
                return each
        raise UsageError(f"table `{self.name}` has no column `{name}`")


@dataclass(frozen=True)
class Dataset:
    """Tables of one database that share a data subject, such as `customers.id` ("" if there is none)."""

    name: str
    database: str
    subject: str = ""
    tables: tuple[Table, ...] = ()

    def table(self, name: str) -> Table:
        """The table called `name`; raises `UsageError` if there is none."""
        for each in self.tables:
            if each.name == name:
                return each
        raise UsageError(f"dataset `{self.name}` has no table `{name}`")

    def subject_column(self) -> tuple[str, str] | None:
        """(table, column) of the data subject, None if the dataset has none."""
        return split_reference(self.subject, self.places)

    @cached_property
    def places(self) -> frozenset[tuple[str, str]]:
        """(table, column) of all columns."""
        return frozenset((table.name, column.name) for table in self.tables for column in table.columns)

    def hops(self, table: Table) -> tuple[Hop, ...]:
        """The steps of a table's `subject_path`; raises `UsageError` if it is not written as it must be."""
        return parse_subject_path(table.subject_path, self.places)


@dataclass(frozen=True)
class Catalogue:
    """All datasets of a deployment."""

    datasets: tuple[Dataset, ...] = ()

    def dataset(self, name: str) -> Dataset:
        """The dataset called `name`; raises `UsageError` if there is none."""
        for each in self.datasets:
            if each.name == name:
                return each
        known = ", ".join(f"`{each.name}`" for each in self.datasets) or "none"
        raise UsageError(f"there is no dataset `{name}`", hint=f"known datasets: {known}")

    def for_database(self, database: str) -> tuple[Dataset, ...]:
        """The datasets that lie in `database`."""
        return tuple(each for each in self.datasets if each.database == database)

    def to_json(self) -> bytes:
        """The canonical bytes (RFC 8785)."""
        document = {"format": FORMAT, "datasets": [_dataset_json(each) for each in self.datasets]}
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Catalogue:
        """The inverse of `to_json`; raises `ConfigurationError` on anything but canonical bytes."""
        try:
            document = orjson.loads(data)
            if document["format"] != FORMAT:
                raise ConfigurationError(f"the catalogue is not of the format `{FORMAT}`")
            catalogue = cls(tuple(_dataset_from(each) for each in document["datasets"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError("the bytes are not a catalogue") from error
        if catalogue.to_json() != data:
            raise ConfigurationError("the bytes of the catalogue are not canonical")
        return catalogue

    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()


def split_reference(text: str, places: AbstractSet[tuple[str, str]]) -> tuple[str, str] | None:
    """(table, column) for `table.column`: at the dot that leads to one of `places`, else at the last one.

    Names may hold dots (a file's column `user.id`); None if there is no dot to split at.
    """
    parts = text.split(".")
    splits = [(".".join(parts[:at]), ".".join(parts[at:])) for at in range(len(parts) - 1, 0, -1)]
    splits = [each for each in splits if all(each)]
    return next((each for each in splits if each in places), splits[0] if splits else None)


def parse_subject_path(text: str, places: AbstractSet[tuple[str, str]]) -> tuple[Hop, ...]:
    """The hops of a subject path such as `order_id -> orders.id, customer_id -> customers.id`.

    A target is split at the dot that leads to one of `places` (`split_reference`).
    """
    if not text:
        return ()
    hops = []
    for part in text.split(","):
        column, arrow, target = part.partition("->")
        place = split_reference(target.strip(), places)
        if place is None or not (arrow and column.strip()):
            raise UsageError(
                f"subject path `{text}` is not valid", hint="write it like `customer_id -> customers.id`"
            )
        hops.append(Hop(column.strip(), *place))
    return tuple(hops)


def _dataset_json(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "database": dataset.database,
        "subject": dataset.subject,
        "tables": [_table_json(each) for each in dataset.tables],
    }


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "schema": table.schema,
        "name": table.name,
        "subject_path": table.subject_path,
        "primary_key": list(table.primary_key),
        "columns": [_column_json(each) for each in table.columns],
        # left out where it is not stated: the bytes of catalogues from before stay what they are
        **({"view": table.view} if table.view else {}),
    }


def _column_json(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.data_type,
        "protection": column.protection,
        "identifiability": column.identifiability,
        "kind": column.kind,
        "identity_space": column.identity_space,
        "references": list(column.references) if column.references else None,
        "nullable": column.nullable,
        "unsure": column.unsure,
    }


def _dataset_from(data: dict[str, Any]) -> Dataset:
    return Dataset(
        data["name"], data["database"], data["subject"], tuple(_table_from(each) for each in data["tables"])
    )


def _table_from(data: dict[str, Any]) -> Table:
    columns = tuple(_column_from(each) for each in data["columns"])
    return Table(
        data["schema"], data["name"], columns, data["subject_path"], tuple(data["primary_key"]),
        data.get("view", ""),
    )  # fmt: skip


def _column_from(data: dict[str, Any]) -> Column:
    protection, identifiability = data["protection"], data["identifiability"]
    if protection not in {*PROTECTIONS, None} or identifiability not in {*IDENTIFIABILITIES, None}:
        raise ValueError("class")
    if data["kind"] not in KINDS:
        raise ValueError("kind")
    references = cast("list[str] | None", data["references"])
    return Column(
        name=data["name"],
        data_type=data["type"],
        protection=protection,
        identifiability=identifiability,
        kind=data["kind"],
        identity_space=data["identity_space"],
        references=(references[0], references[1]) if references else None,
        nullable=data["nullable"],
        unsure=data["unsure"],
    )
