"""Proposes a catalogue for tables that nobody has described: classes, kinds, keys, and the data subject.

A proposal, to be looked at: whatever it rests on is doubtful says so in `unsure`, and what is not
recognised is left unclassified. In a table that leads to people nothing is `none` or `interoperable` unless
it is recognised as that (`ringfort.catalog.about_people`, ADR 0033). Declared primary and foreign keys are
taken as they are; where there are none, names are (a column `customer_id` refers to `customers.id`), and
marked. One dataset for a database; tables whose name is taken in another schema go into a dataset of their
own, and their views are called `schema_table`. Pure, and total over dirty data.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ringfort.catalog.about_people import Protector, is_medical, leads_to_people
from ringfort.catalog.check import is_reserved, other_view, short_name
from ringfort.catalog.column_words import (
    begins_as_key,
    is_numbered,
    is_role,
    is_table_of_people,
    key_stem,
    kinds_of_name,
    person_rank,
    shared_prefix,
    shared_words,
)
from ringfort.catalog.detect import SECRET, Finding, detect
from ringfort.catalog.model import Catalogue, Column, Dataset, Hop, Table, parse_subject_path
from ringfort.catalog.special import SUBJECTS, says_of_patients, special_name
from ringfort.catalog.things import Things, is_of_things
from ringfort.catalog.words import singular, tokens
from ringfort.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ringfort.catalog.sample import SampledColumn, SampledTable

_KEY_NUMBERS = frozenset({"integer", "bigint"})
_WHOLE = frozenset({"smallint", "integer", "bigint", "numeric", "double precision"})
_OWN_KINDS = frozenset(
    {"email", "iban", "national_id", "phone", "card", "ip_address"}
)  # a key's name says less
_OPEN_KINDS = frozenset(
    {"unknown", "code", "category", "goods", "number", "amount"}
)  # `cod_postal` is a postcode
_Place = tuple[str, str]


def propose(
    tables: Sequence[SampledTable], *, dataset: str, database: str, subject: str = "", country: str = ""
) -> Catalogue:
    """A catalogue for `tables` of `database`.

    `subject` and `country` are columns (`column` or `table.column`) that a person has named; they are
    believed. A subject that is a foreign key stands for the key that it refers to.
    Raises `UsageError` if there is no such column.
    """
    groups: dict[str, list[SampledTable]] = {}
    taken: dict[str, str] = {}
    dataset = short_name(dataset)
    for table in sorted(tables, key=lambda each: (each.schema != "public", each.schema, each.name)):
        own = taken.setdefault(table.name, table.schema) == table.schema
        name = dataset if own else short_name(f"{dataset}_{table.schema}", {dataset})
        groups.setdefault(name, []).append(table)
    views = _views(groups, dataset)
    main = groups.get(dataset, [])
    place = _named(main, subject, "subject") if subject else None
    country_place = _named(main, country, "country") if country else None
    return Catalogue(
        tuple(
            _Proposal(
                name,
                own,
                views,
                place if name == dataset else None,
                country_place if name == dataset else None,
            ).dataset(database)
            for name, own in groups.items()
        )
        or (Dataset(dataset, database),)
    )


def _views(groups: Mapping[str, Sequence[SampledTable]], main: str) -> dict[tuple[str, str], str]:
    """(schema, table) -> the view's name, for tables whose own is taken or cannot be a view's."""
    taken = {each.name for own in groups.values() for each in own}
    views = {}
    for name, own in groups.items():
        for table in own:
            if name == main and not is_reserved(table.name):
                continue
            view = other_view(table.schema, table.name, taken)
            taken.add(view)
            views[table.schema, table.name] = view
    return views


@dataclass(frozen=True)
class _Reference:
    table: str
    column: str
    declared: bool


class _Proposal:
    """One dataset in the making."""

    def __init__(
        self,
        name: str,
        tables: Sequence[SampledTable],
        views: Mapping[tuple[str, str], str],
        subject: _Place | None,
        country: _Place | None,
    ) -> None:
        self.name = name
        self.views = views
        self.tables = {each.name: each for each in tables}
        self.chosen = subject
        self.country = country
        self.called = self._by_what_keys_call_them()
        self.keyed: dict[str, list[SampledTable]] = defaultdict(list)
        for each in tables:
            if len(each.primary_key) == 1:
                self.keyed[each.primary_key[0]].append(each)
        self.references = self._references()
        self.findings = {
            (table.name, column.name): detect(
                column, table.rows, people=is_table_of_people(table.name), shared=shared
            )
            for table in tables
            for shared in [shared_words([each.name for each in table.columns])]
            for column in table.columns
        }
        self.targets = {(each.table, each.column) for each in self.references.values()}
        self.subject: _Place | None = self._root(subject) if subject else None
        self.subject = self.subject or self._subject()
        self.about_people = leads_to_people(tables, self.findings, self._edges(), self.subject)
        self.medical = is_medical(tables)

    def dataset(self, database: str) -> Dataset:
        subject = ".".join(self.subject) if self.subject else ""
        return Dataset(self.name, database, subject, tuple(map(self._table, self.tables.values())))

    def _table(self, table: SampledTable) -> Table:
        rule: Protector | Things | None = None
        if table.name in self.about_people:
            rule = Protector(table, medical=self.medical)
        elif is_of_things(table, self.tables):
            rule = Things()
        columns = tuple(self._column(table, each, rule) for each in table.columns)
        view = self.views.get((table.schema, table.name), "")
        return Table(table.schema, table.name, columns, self._path(table.name), table.primary_key, view)

    def _edges(self) -> frozenset[tuple[str, str]]:
        """(table, table that it refers to)."""
        return frozenset((place[0], reference.table) for place, reference in self.references.items())

    def _column(self, table: SampledTable, column: SampledColumn, rule: Protector | Things | None) -> Column:
        place = (table.name, column.name)
        finding, space = self.findings[place], None
        reference = self.references.get(place)
        if place == self.country:
            finding = Finding("country", "interoperable", "quasi")
        elif reference is not None:
            finding, space = self._foreign_key(place, reference), self._root(place)
        elif self._is_key(table, column):
            finding, space = self._key(table, column), place
            special = special_name(column.name)
            special = special or self._said_of_patients(table, column)
            if special and place != self.subject and table.primary_key != (column.name,):
                why = f"it leads to a special category of personal data: {SUBJECTS[special]}"
                finding = replace(finding, protection="restricted", unsure=why)
        elif rule is not None:
            finding = rule.protect(column, finding)
        return Column(
            name=column.name,
            data_type=column.data_type,
            protection=finding.protection,
            identifiability=finding.identifiability,
            kind=finding.kind,
            identity_space=f"{self.name}.{space[0]}.{space[1]}" if space else None,
            references=(reference.table, reference.column) if reference else None,
            nullable=column.nullable,
            unsure=finding.unsure,
        )

    # --- keys -----------------------------------------------------------------------------------------------

    def _references(self) -> dict[_Place, _Reference]:
        found: dict[_Place, _Reference] = {}
        for table in self.tables.values():
            for column in table.columns:
                target = self._declared(column) or self._guessed(table, column)
                if target is not None and (target.table, target.column) != (table.name, column.name):
                    found[table.name, column.name] = target
        return found

    def _declared(self, column: SampledColumn) -> _Reference | None:
        if column.references is None:
            return None
        schema, table, target = column.references
        known = self.tables.get(table)
        return _Reference(table, target, declared=True) if known and known.schema == schema else None

    def _guessed(self, table: SampledTable, column: SampledColumn) -> _Reference | None:
        """`customer_id` refers to the key of a table `customers` or `customer`, if the types go together."""
        stem = key_stem(column.name)
        if not stem and column.base_type in {"integer", "bigint", "uuid"}:
            stem = tokens(column.name)  # `patient uuid`, if there are patients
        if not stem or column.references is not None or table.primary_key == (column.name,):
            return None
        for other in self.called.get(_singular(stem), ()):
            key = self._key_of(other)
            same = key is not None and _family(key.data_type) == _family(column.data_type)
            if key is not None and same and other.name != table.name:
                return _Reference(other.name, key.name, declared=False)
        return self._shared(table, column)

    def _by_what_keys_call_them(self) -> dict[str, list[SampledTable]]:
        """Tables by what keys to them are called: singular, without the word that all tables begin with."""
        prefix = shared_prefix(frozenset(self.tables))
        found: dict[str, list[SampledTable]] = defaultdict(list)
        for table in self.tables.values():
            words = tokens(table.name)
            found[_singular(words[1:] if len(words) > 1 and words[0] in prefix else words)].append(table)
        return found

    def _shared(self, table: SampledTable, column: SampledColumn) -> _Reference | None:
        """`salaries.emp_no` refers to `staff.emp_no`, if that is the key of one table only."""
        owners = [
            other
            for other in self.keyed.get(column.name, ())
            if other.name != table.name
            and tokens(column.name) not in {("id",), ("uuid",), ("code",), ("name",)}
        ]
        if len(owners) != 1 or (key := self._key_of(owners[0])) is None:
            return None
        same = _family(key.data_type) == _family(column.data_type)
        return _Reference(owners[0].name, key.name, declared=False) if same else None

    @staticmethod
    def _key_of(table: SampledTable) -> SampledColumn | None:
        names = [table.primary_key] if table.primary_key else [*table.unique, ("id",)]
        single = next((each[0] for each in names if len(each) == 1), None)
        return next((each for each in table.columns if each.name == single), None)

    def _root(self, place: _Place) -> _Place:
        """Where a chain of foreign keys ends: whose identity space a column lives in."""
        seen: list[_Place] = [place]
        while (reference := self.references.get(place)) is not None:
            place = (reference.table, reference.column)
            if place in seen:  # a circle: all of it is one space
                return min(seen[seen.index(place) :])
            seen.append(place)
        return place

    def _key(self, table: SampledTable, column: SampledColumn) -> Finding:
        """What a key is that refers to nothing: direct if it is one of people."""
        place = (table.name, column.name)
        finding = self.findings[place]
        if finding.kind in _OWN_KINDS:  # other tables refer to an e-mail address: it stays one
            return finding
        if place == self.subject:
            return Finding("key", "interoperable", "direct", self._doubt_subject(table, column))
        person = person_rank(self._meaning(table, column)) is not None or is_role(column.name)
        doubt = self._doubt_key(table, column)
        return Finding("key", "interoperable", "direct" if person else "quasi", doubt)

    def _foreign_key(self, place: _Place, reference: _Reference) -> Finding:
        """A foreign key has the classes of the key at the end of its chain."""
        root = self._root(place)
        table = self.tables[root[0]]
        finding = self._key(table, next(each for each in table.columns if each.name == root[1]))
        doubt = f"no foreign key to `{reference.table}` is declared; its name says it"
        finding = replace(finding, unsure="" if reference.declared else doubt)
        special = special_name(place[1]) or special_name(reference.table)
        here = self.tables[place[0]]
        special = special or self._said_of_patients(
            here, next(each for each in here.columns if each.name == place[1])
        )
        if special and root != self.subject and finding.identifiability != "direct":
            why = f"it leads to a special category of personal data: {SUBJECTS[special]}"
            return replace(finding, protection="restricted", unsure=why)
        return finding

    def _said_of_patients(self, table: SampledTable, column: SampledColumn) -> str:
        """What a key to what was found of patients leads to: `health`, "" if it is none."""
        said = self.medical and table.name in self.about_people and says_of_patients(column.name)
        return "health" if said else ""

    def _is_key(self, table: SampledTable, column: SampledColumn) -> bool:
        place = (table.name, column.name)
        if place == self.subject or place in self.targets:
            return True
        finding = self.findings[place]
        if finding is SECRET:
            return False
        if table.primary_key == (column.name,) or (column.name,) in table.unique:
            declared = table.primary_key == (column.name,)
            likely = column.base_type in _WHOLE or column.base_type == "uuid" or key_stem(column.name)
            return finding.kind not in _OWN_KINDS and (declared or bool(likely))
        if column.references is not None or column.base_type == "uuid":
            return True
        stem = key_stem(column.name)
        parent = tokens(column.name)[-1:] == ("parent",)
        if stem is None and (is_role(column.name) or parent) and column.base_type in _KEY_NUMBERS:
            return _whole_numbers(column)
        said = frozenset(kinds_of_name(column.name))
        own = finding.kind in _OWN_KINDS or not _OWN_KINDS.isdisjoint(said)
        if stem is None or own or _family(column.data_type) not in {"number", "text"}:
            return False
        if begins_as_key(column.name) and not _OPEN_KINDS.issuperset({finding.kind, *said}):
            return False
        if is_numbered(column.name) and person_rank(stem) is None:  # a number of an invoice, or of a house?
            return finding.kind == "unknown" and _varied(table, column)
        return _whole_numbers(column)

    def _meaning(self, table: SampledTable, column: SampledColumn) -> tuple[str, ...]:
        """The words that say whose key it is: those of its name, else those of its table."""
        stem = key_stem(column.name)
        return stem or tuple(map(singular, tokens(table.name)))

    def _doubt_key(self, table: SampledTable, column: SampledColumn) -> str:
        if column.references is not None:
            return "it refers to a table that is not in this dataset"
        if table.primary_key == (column.name,) or (column.name,) in table.unique:
            return ""
        return (
            "taken as a key by its name"
            if key_stem(column.name) is not None
            else "taken as a key by its type"
        )

    # --- the data subject -----------------------------------------------------------------------------------

    def _subject(self) -> _Place | None:
        """The key that most surely means a person: declared ones first, then those that others refer to."""
        candidates = []
        targets = [(each.table, each.column) for each in self.references.values()]
        for table in self.tables.values():
            for column in table.columns:
                place = (table.name, column.name)
                if place in self.references or not self._is_key(table, column):
                    continue
                rank = person_rank(self._meaning(table, column))
                if rank is not None:
                    declared = table.primary_key == (column.name,)
                    candidates.append((not declared, -targets.count(place), rank, place))
        return min(candidates)[-1] if candidates else None

    def _doubt_subject(self, table: SampledTable, column: SampledColumn) -> str:
        if self.chosen is not None or table.primary_key == (column.name,):
            return ""
        empty = f"; empty in {column.nulls * 100:.0f} % of the rows" if column.nulls else ""
        return f"taken as the key of the data subject by its name{empty}"

    def _path(self, start: str) -> str:
        """The shortest chain of foreign keys from a table to the subject, "" if none is there or needed."""
        if self.subject is None or start == self.subject[0]:
            return ""
        waiting: deque[tuple[str, tuple[Hop, ...]]] = deque([(start, ())])
        seen = {start}
        while waiting:
            at, hops = waiting.popleft()
            for (table, column), reference in self.references.items():
                path = (*hops, Hop(column, reference.table, reference.column))
                if table != at or not self._can_be_written(path[-1:]):
                    continue
                if (reference.table, reference.column) == self.subject:
                    return ", ".join(map(str, path))
                if reference.table not in seen:
                    seen.add(reference.table)
                    waiting.append((reference.table, path))
        return ""

    def _can_be_written(self, path: tuple[Hop, ...]) -> bool:
        """Whether a path says the same when it is read: names may hold commas, arrows, spaces at an end."""
        try:
            return parse_subject_path(", ".join(map(str, path)), self.findings.keys()) == path
        except UsageError:
            return False


def _named(tables: Iterable[SampledTable], text: str, what: str) -> _Place:
    places = [(table.name, column.name) for table in tables for column in table.columns]
    for same in (str, str.casefold):
        found = [each for each in places if same(text) in {same(each[1]), same(".".join(each))}]
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(f"`{'.'.join(each)}`" for each in found[:5])
            raise UsageError(f"`--{what} {text}` may be several columns", hint=f"write one of {options}")
    known = ", ".join(f"`{column}`" for _, column in places[:20]) or "none"
    raise UsageError(f"`--{what} {text}` names no column", hint=f"columns: {known}")


def _singular(words: Iterable[str]) -> str:
    return "".join(map(singular, words))


def _family(data_type: str) -> str:
    base = data_type.split("(", 1)[0]
    if base in _WHOLE:
        return "number"
    return "text" if base in {"text", "character varying", "character"} else base


def _whole_numbers(column: SampledColumn) -> bool:
    """Whether nothing speaks against a key: fractions would."""
    if column.base_type not in {"numeric", "double precision"}:
        return True
    return all(value.lstrip("-").isdigit() for value, _ in column.counts)


def _varied(table: SampledTable, column: SampledColumn) -> bool:
    different = max(column.distinct or 0.0, column.different)
    return _whole_numbers(column) and different >= max(20.0, max(table.rows, column.sampled) / 1_000)
