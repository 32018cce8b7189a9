"""A decision made a value that a database can enforce: disclosure map + catalogue + numbers -> Profile.

A profile says which views a role sees, each column with the rendering that is really served, and which
mapping tables its pseudonyms come from. Columns that end hidden are absent, a table without a visible
column has no view. Two decisions with equal outcome share a profile: its digest covers database, domain and
epoch, key id, version of the form functions, and for every view the relation's and columns' numbers
(`pg_class.oid`, `attnum`), names, types and renderings; role and schema are `rf_` and its first 24 digits.

Invariants: pure; a column appears only if the map shows it *and* the database has it under the number and
type it was bound to when the catalogue came into force (`Binding`); anything else is `SchemaDriftError`,
never a guess by name, because a renamed column would carry other values under a classified name. A mapping
table serves one (domain, identity space, storage type): columns of one space meet in it, so they keep
joining. Left out: SQL (`views.py`) and anything that looks at a database. DESIGN sections 4 and 5.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from ringfort.disclosure.forms_sql import VERSION, Rendering, pseudonym_type_of, rendering, type_class
from ringfort.errors import CheckFailedError, UsageError
from ringfort.policy.forms import Form
from ringfort.privacy.pseudonym import Domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ringfort.catalog.model import Column, Dataset, Table
    from ringfort.policy.disclosure_map import DisclosureMap
    from ringfort.privacy.pseudonym import PseudonymType

FORMAT = "ringfort-profile/1"
MAX_IDENTIFIER = 63


class SchemaDriftError(CheckFailedError):
    """The database no longer has what was decided on; the profile must be compiled anew after a review."""

    default_sqlstate = "55000"  # object_not_in_prerequisite_state


@dataclass(frozen=True)
class BoundColumn:
    """A column as the database has it. `data_type` is `format_type` of its base type (domains resolved).

    `collation` is None for the database's own, else (schema, name); `deterministic` is false for collations
    under which different bytes are equal. `types` are the numbers of types outside of pg_catalog that a
    client may name who is shown it as it is (column_types.py); they are as of now, and not kept.
    """

    name: str
    number: int
    data_type: str
    not_null: bool
    collation: tuple[str, str] | None = None
    deterministic: bool = True
    types: frozenset[int] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class BoundTable:
    """A table as the database has it: `oid` is its relation number."""

    schema: str
    name: str
    oid: int
    columns: tuple[BoundColumn, ...]

    def column(self, name: str) -> BoundColumn | None:
        """The column called `name`, if there is one."""
        return next((each for each in self.columns if each.name == name), None)


Binding = dict[tuple[str, str], BoundTable]
"""(schema, table) -> the table's numbers: taken once with each catalogue, and again at each opening."""


@dataclass(frozen=True)
class MapSource:
    """A column whose values a mapping table must hold."""

    schema: str
    table: str
    oid: int
    column: str
    number: int


@dataclass(frozen=True)
class MapPlan:
    """A mapping table `ringfort.map_<id>` (raw, pseudonym): one domain, identity space and storage type."""

    id: str
    identity_space: str
    pseudonym_type: PseudonymType
    storage_type: str
    collation: tuple[str, str] | None
    sources: tuple[MapSource, ...]

    @property
    def table(self) -> str:
        """Its name in schema `ringfort`."""
        return f"map_{self.id}"

    @property
    def wide(self) -> bool:
        """Whether values may be too long for a btree index."""
        return self.storage_type in {"text", "numeric"}


@dataclass(frozen=True)
class ViewColumn:
    """A visible column: its number in the base table and how it is rendered; `map` for a pseudonym."""

    name: str
    number: int
    data_type: str
    rendering: Rendering
    map: str = ""
    not_null: bool = False
    deterministic: bool = True
    types: frozenset[int] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class ViewPlan:
    """A view over one base table."""

    name: str
    dataset: str
    schema: str
    table: str
    oid: int
    columns: tuple[ViewColumn, ...]

    @property
    def ordered(self) -> bool:
        """Whether there is a view with its rows in order, along a key of pseudonyms that every row has."""
        return any(each.map and each.not_null for each in self.columns)


@dataclass(frozen=True)
class Profile:
    """What one role of the database may see."""

    digest: str
    database: str
    domain: Domain
    key_id: str
    views: tuple[ViewPlan, ...]
    maps: tuple[MapPlan, ...] = field(default=())

    @property
    def role(self) -> str:
        """The login role's name."""
        return f"rf_{self.digest[:24]}"

    @property
    def schema(self) -> str:
        """The schema of its views: named like the role."""
        return self.role

    @property
    def ordered(self) -> bool:
        """Whether some of its views are there with their rows in order, too (`views.py`)."""
        return any(each.ordered for each in self.views)

    @property
    def types(self) -> frozenset[int]:
        """The types outside of pg_catalog that are shown, by number."""
        return frozenset().union(*(column.types for view in self.views for column in view.columns))

    @property
    def relations(self) -> tuple[str, ...]:
        """Names of the views, sorted."""
        return tuple(sorted(each.name for each in self.views))

    def to_json(self) -> dict[str, Any]:
        """What the digest covers, and the mapping tables."""
        return _document(self.database, self.domain, self.key_id, self.views) | {
            "maps": [_map_json(each) for each in self.maps],
        }


def compile_profile(
    disclosure: DisclosureMap,
    datasets: Sequence[Dataset],
    *,
    database: str,
    domain: Domain,
    key_id: str,
    bound: Binding,
    found: Binding,
) -> Profile:
    """The profile of a decision.

    `datasets` are the catalogue's datasets of `database`; `bound` are the numbers that were reviewed with the
    catalogue, `found` those of now. Raises `SchemaDriftError` where a visible column is not what was bound.
    """
    names = view_names(datasets)
    views: list[ViewPlan] = []
    maps: dict[str, MapPlan] = {}
    for dataset in datasets:
        for table in dataset.tables:
            columns = []
            for column in table.columns:
                form = disclosure.form(dataset.name, table.name, column.name)
                if form is Form.HIDDEN:
                    continue
                base = _same(table, column, bound, found)
                how = rendering(form, column.kind, base.data_type)
                if how.form is Form.HIDDEN:
                    continue
                plan = None
                if how.form is Form.PSEUDONYM:
                    plan = map_plan(column, dataset, table, base, key_id)
                    maps.setdefault(plan.id, plan)
                columns.append(
                    ViewColumn(
                        column.name, base.number, base.data_type, how, plan.id if plan else "", base.not_null,
                        base.deterministic, base.types if how.form is Form.RAW else frozenset(),
                    )
                )  # fmt: skip
            if columns:
                base_table = found[table.schema, table.name]
                views.append(
                    ViewPlan(
                        names[table.schema, table.name], dataset.name, table.schema, table.name,
                        base_table.oid, tuple(columns),
                    )
                )  # fmt: skip
    digest = hashlib.sha256(
        orjson.dumps(_document(database, domain, key_id, tuple(views)), option=orjson.OPT_SORT_KEYS)
    ).hexdigest()
    complete = _sources(maps, datasets, key_id, bound, found)
    return Profile(digest, database, domain, key_id, tuple(views), complete)


def view_names(datasets: Iterable[Dataset]) -> dict[tuple[str, str], str]:
    """(schema, table) -> the view's name: what the catalogue says, else the table's own.

    Names do not depend on what is visible. A catalogue that comes into force has one name for each view
    (`catalog.check`); in those from before, tables that share a name without saying more are seen as
    schema_table. Raises `UsageError` if two views would have one name.
    """
    every = [table for dataset in datasets for table in dataset.tables]
    tables = [(table.schema, table.name) for table in every]
    counted = Counter(table.name for table in every if not table.view)
    names = {
        (table.schema, table.name): table.seen_as
        if table.view or counted[table.name] == 1
        else f"{table.schema}_{table.name}"[:MAX_IDENTIFIER]
        for table in every
    }
    if len(names) != len(tables):
        raise UsageError("a table stands in the catalogue twice", hint="name each table in one dataset only")
    taken = Counter(names.values())
    for (schema, name), view in names.items():
        if taken[view] > 1:
            raise UsageError(
                f"tables of the database share the view name `{view}`, one is `{schema}.{name}`",
                hint="give one of them another `view` in catalog.toml",
            )
    return names


def _same(table: Table, column: Column, bound: Binding, found: Binding) -> BoundColumn:
    """The column as the database has it now, if that is what was bound."""
    reviewed, now = bound.get((table.schema, table.name)), found.get((table.schema, table.name))
    if reviewed is None or now is None or reviewed.oid != now.oid:
        raise _drift(f"table `{table.schema}.{table.name}`")
    then, today = reviewed.column(column.name), now.column(column.name)
    if then is None or today is None or (then.number, then.data_type) != (today.number, today.data_type):
        raise _drift(f"column `{table.schema}.{table.name}.{column.name}`")
    return today


def _drift(what: str) -> SchemaDriftError:
    return SchemaDriftError(
        f"{what} is no longer what was classified",
        hint="review catalog.toml against the database, then bind it anew",
    )


def _space(dataset: Dataset, table: Table, column: Column) -> str:
    """A column without an identity space has one of its own, which links to nothing."""
    return column.identity_space or f"{dataset.name}.{table.name}.{column.name}"


def _storage(base: BoundColumn) -> tuple[str, tuple[str, str] | None]:
    """Type and collation of the mapping table's raw column: those of the base column, so that indexes match.

    All text types meet as `text`. Under a collation for which different bytes are equal, bytes decide.
    """
    cls = type_class(base.data_type)
    if cls == "text":
        return "text", base.collation if base.deterministic else ("pg_catalog", "C")
    names = {
        "numeric": "numeric",
        "timestamp": "timestamp without time zone",
        "timestamptz": "timestamp with time zone",
    }
    return names.get(cls, base.data_type), None


def map_plan(column: Column, dataset: Dataset, table: Table, base: BoundColumn, key_id: str) -> MapPlan:
    """The mapping table of a column under a key, without its sources; `UsageError` if there can be none."""
    kind = pseudonym_type_of(base.data_type)
    if kind is None:
        raise UsageError(f"type `{base.data_type}` has no pseudonyms")
    space = _space(dataset, table, column)
    storage, collation = _storage(base)
    return MapPlan(_map_id(key_id, space, kind, storage, collation), space, kind, storage, collation, ())


def rekeyed(plan: MapPlan, key_id: str) -> MapPlan:
    """The same mapping table under another key: for a new epoch of its domain."""
    kept = (plan.identity_space, plan.pseudonym_type, plan.storage_type, plan.collation)
    return replace(plan, id=_map_id(key_id, *kept))


def _map_id(
    key_id: str, space: str, kind: PseudonymType, storage: str, collation: tuple[str, str] | None
) -> str:
    identity = orjson.dumps([key_id, space, kind, storage, list(collation or ())])
    return hashlib.sha256(b"ringfort-map/1" + identity).hexdigest()[:24]


def _sources(
    maps: dict[str, MapPlan], datasets: Sequence[Dataset], key_id: str, bound: Binding, found: Binding
) -> tuple[MapPlan, ...]:
    """The plans with all columns of their space, visible here or not: profiles share mapping tables."""
    sources: dict[str, list[MapSource]] = {each: [] for each in maps}
    for dataset in datasets:
        for table in dataset.tables:
            for column in table.columns:
                now = found.get((table.schema, table.name))
                base = now.column(column.name) if now else None
                if now is None or base is None or pseudonym_type_of(base.data_type) is None:
                    continue
                map_id = map_plan(column, dataset, table, base, key_id).id
                if map_id in sources:
                    _same(table, column, bound, found)
                    sources[map_id].append(
                        MapSource(table.schema, table.name, now.oid, column.name, base.number)
                    )
    return tuple(
        MapPlan(
            each.id, each.identity_space, each.pseudonym_type, each.storage_type, each.collation,
            tuple(sources[each.id]),
        )
        for each in sorted(maps.values(), key=lambda plan: plan.id)
    )  # fmt: skip


def _document(database: str, domain: Domain, key_id: str, views: tuple[ViewPlan, ...]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "database": database,
        "domain": [domain.recipient, domain.purpose, domain.epoch],
        "key_id": key_id,
        "forms_version": VERSION,
        **({"ordered": 1} if any(view.ordered for view in views) else {}),
        "views": [
            {
                "name": view.name,
                "dataset": view.dataset,
                "schema": view.schema,
                "table": view.table,
                "relation": view.oid,
                "columns": [
                    [
                        column.name,
                        column.number,
                        column.data_type,
                        str(column.rendering.form),
                        column.rendering.function,
                        column.map,
                        column.not_null,
                    ]
                    for column in view.columns
                ],
            }
            for view in views
        ],
    }


def _map_json(plan: MapPlan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "identity_space": plan.identity_space,
        "pseudonym_type": plan.pseudonym_type,
        "storage_type": plan.storage_type,
        "collation": list(plan.collation or ()),
        "sources": [[each.schema, each.table, each.oid, each.column, each.number] for each in plan.sources],
    }


def maps_from_json(data: Mapping[str, Any]) -> tuple[Domain, str, tuple[MapPlan, ...]]:
    """Domain, key id and mapping tables of a profile, from its `to_json`."""
    return Domain(*data["domain"]), data["key_id"], tuple(map_from_json(each) for each in data["maps"])


def map_from_json(data: Mapping[str, Any]) -> MapPlan:
    """The inverse of a member of `maps` in `Profile.to_json`."""
    collation = data["collation"]
    return MapPlan(
        data["id"],
        data["identity_space"],
        data["pseudonym_type"],
        data["storage_type"],
        (collation[0], collation[1]) if collation else None,
        tuple(MapSource(*each) for each in data["sources"]),
    )


__all__ = [
    "Binding",
    "BoundColumn",
    "BoundTable",
    "MapPlan",
    "MapSource",
    "Profile",
    "SchemaDriftError",
    "ViewColumn",
    "ViewPlan",
    "compile_profile",
    "map_from_json",
    "map_plan",
    "maps_from_json",
    "rekeyed",
    "view_names",
]
