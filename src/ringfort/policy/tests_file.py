"""`policy/tests.toml`: what the policies are meant to do, as examples that `ringfort policy check` runs.

    [[test]]
    name = "an analyst elsewhere gets no e-mail address"
    as = { role = "analyst", country = "US" }    # employer = "..." if policies ask for it
    holds = [{ kind = "view", purpose = "p" }]   # grants in force; ticket and table optional
    viewer = "US"                                # a code or a list; left out: as registered
    purpose = "product-analytics"                # ticket, granted, site, site_country likewise, all optional
    column = "shop.customers.email"              # or { protection = .., identifiability = .., kind = .. }
    expect = "hidden"
    because = "restricted-never-leaves-raw"      # optional: a policy that must be among the deciding ones

The registered country is always one of the viewer's sources, as it is at the gateway. A column given by its
classes stands for any column of that kind, so such a test holds for every catalogue.

Tests of who may approve a grant have `action` and `grant` in place of `column`: see `grant_examples`.

Strict: an unknown key, form, class or policy is refused with file and line. The tests are part of the bundle:
whoever reads the record later sees what was promised, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from ringfort.catalog.model import Catalogue, Column, Dataset, Identifiability, Protection, Table
from ringfort.errors import ConfigurationError, UsageError
from ringfort.policy.bundle import TESTS_FILE
from ringfort.policy.decide import decide
from ringfort.policy.forms import Form
from ringfort.policy.grant_examples import GRANT_KEYS, RELATIONS, GrantExample
from ringfort.policy.grant_rules import ACT_KINDS, duration_seconds
from ringfort.policy.grant_rules import KINDS as GRANT_KINDS
from ringfort.policy.grants import ACTIONS, APPROVE, GrantDecision, Outcome
from ringfort.policy.request import AccessRequest, HeldGrant, Principal, ViewerSource
from ringfort.policy.vocabulary import CLOSED_ATTRIBUTES, UNPROVEN_COUNTRY, entity_name
from ringfort.toml_source import parse_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ringfort.policy.bundle import CompiledBundle
    from ringfort.policy.disclosure_map import ColumnDisclosure, ColumnKey

EXAMPLE = "example"
"""Dataset, table and database of a column that a test gives by its classes."""
_TIME = "1970-01-01T00:00:00Z"
_TEXTS = ("purpose", "ticket", "site", "site_country")
_KEYS = ("name", "as", "viewer", *_TEXTS, "granted", "holds", "column", "expect", "because")
_ACT_KEYS = ("name", "as", "action", "asked_by", "related", "grant", "expect", "because")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True)
class PolicyTest:
    """One example: who, from where, for what; a column; the form expected. `line` is where it stands."""

    name: str
    line: int
    principal: Principal
    viewer: tuple[ViewerSource, ...]
    purpose: str
    ticket: str
    granted: frozenset[str]
    site: str
    site_country: str
    column: str | Column | GrantExample
    expect: Form | Outcome
    because: str
    holds: tuple[HeldGrant, ...] = ()
    """Grants in force; one without tables covers the column's whole dataset."""


@dataclass(frozen=True)
class PolicyTestResult:
    """What a test gave; `got` is the decision for its column."""

    test: PolicyTest
    got: ColumnDisclosure | GrantDecision

    @property
    def passed(self) -> bool:
        """Whether form and, if named, deciding policy are as expected."""
        return self.got.form is self.test.expect and (
            not self.test.because or self.test.because in self.got.policies
        )


def load_tests(bundle: CompiledBundle) -> tuple[PolicyTest, ...]:
    """The tests of a bundle, none if it has no tests file; raises `ConfigurationError` with file and line."""
    source = bundle.bundle.file(TESTS_FILE)
    if source is None:
        return ()
    tests = parse_tests(source.text, bundle.bundle.path_of(TESTS_FILE))
    known = {each.id for each in bundle.policies}
    for test in tests:
        for purpose in (test.purpose, *sorted(test.granted), *(each.purpose for each in test.holds)):
            fault = bundle.settings.purposes.fault(purpose)
            if fault is not None:
                raise ConfigurationError(
                    f"test `{test.name}`: {fault[0]}",
                    path=bundle.bundle.path_of(TESTS_FILE),
                    line=test.line,
                    hint=fault[1],
                )
        if test.because and test.because not in known:
            raise ConfigurationError(
                f"test `{test.name}`: there is no policy `{test.because}`",
                path=bundle.bundle.path_of(TESTS_FILE),
                line=test.line,
            )
    return tests


def parse_tests(text: str, path: Path) -> tuple[PolicyTest, ...]:
    """Read the text of a tests file; raises `ConfigurationError` with file and line."""
    document = parse_toml(text, path)
    for key in document.data:
        if key != "test":
            raise document.error(f"unknown key `{key}`", key, hint="tests are written as [[test]]")
    entries = document.data.get("test", [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise document.error("`test` must be written as [[test]]", "test")
    blocks = _Blocks(text, path)
    tests: list[PolicyTest] = []
    names: dict[str, int] = {}
    for number, entry in enumerate(entries):
        test = _Reader(entry, number, blocks).read()
        if test.name in names:
            raise blocks.error(
                number, "name", f"test name `{test.name}` is already used on line {names[test.name]}"
            )
        names[test.name] = test.line
        tests.append(test)
    return tuple(tests)


def run_tests(
    bundle: CompiledBundle,
    catalogue: Catalogue,
    region: Iterable[str],
    tests: Iterable[PolicyTest],
    sites: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[PolicyTestResult, ...]:
    """Decide each test. `sites` maps a database to its site and the site's country.

    Raises `ConfigurationError` if a test names a column that the catalogue does not have.
    """
    region = frozenset(region)
    places = _catalogued(catalogue)
    results: list[PolicyTestResult] = []
    for test in tests:
        if isinstance(test.column, GrantExample):
            got = test.column.decide(bundle, catalogue, region, test.principal)
            results.append(PolicyTestResult(test, got))
            continue
        if isinstance(test.column, Column):
            where, database = (EXAMPLE, EXAMPLE, test.column.name), EXAMPLE
            subject = _catalogue_of(test.column)
        elif test.column in places:
            where, database = places[test.column]
            subject = catalogue
        else:
            raise ConfigurationError(
                f"test `{test.name}`: the catalogue has no column `{test.column}`",
                path=bundle.bundle.path_of(TESTS_FILE),
                line=test.line,
                hint="write it as dataset.table.column, or give its classes instead",
            )
        site, country = (sites or {}).get(database, ("", UNPROVEN_COUNTRY))
        request = AccessRequest(
            principal=test.principal,
            purpose=test.purpose,
            ticket=test.ticket,
            viewer=test.viewer,
            site=test.site or site,
            site_country=test.site_country or country,
            database=database,
            granted=test.granted,
            time=_TIME,
            grants=tuple(
                replace(each, tables=each.tables or (entity_name(where[0]),)) for each in test.holds
            ),
        )
        results.append(PolicyTestResult(test, decide(bundle, subject, region, request).columns[where]))
    return tuple(results)


class _Blocks:
    """Where each `[[test]]` stands, for messages."""

    def __init__(self, text: str, path: Path) -> None:
        self._lines = text.splitlines()
        self._path = path
        self._starts = [
            number
            for number, line in enumerate(self._lines, start=1)
            if re.match(r"\s*\[\[\s*test\s*\]\]", line)
        ]

    def line(self, number: int, key: str = "") -> int:
        if number >= len(self._starts):
            return 1
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else len(self._lines) + 1
        for place in range(start, end):
            line = self._lines[place - 1]
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return place
        return start

    def error(self, number: int, key: str, message: str, hint: str = "") -> ConfigurationError:
        return ConfigurationError(message, path=self._path, line=self.line(number, key), hint=hint)


class _Reader:
    """One `[[test]]`, checked key by key."""

    def __init__(self, entry: dict[str, Any], number: int, blocks: _Blocks) -> None:
        self._entry = entry
        self._number = number
        self._blocks = blocks

    def read(self) -> PolicyTest:
        if "action" in self._entry or "grant" in self._entry:
            return self._read_act()
        for key in self._entry:
            if key not in _KEYS:
                raise self._error(key, f"unknown key `{key}`", "known keys: " + ", ".join(_KEYS))
        for key in ("name", "as", "column", "expect"):
            if key not in self._entry:
                raise self._error("", f"the test has no `{key}`")
        name = self._text("name")
        principal = self._principal()
        site_country = self._text("site_country")
        if site_country:
            self._country("site_country", site_country)
        return PolicyTest(
            name=name,
            line=self._blocks.line(self._number),
            principal=principal,
            viewer=self._viewer(principal),
            purpose=self._text("purpose"),
            ticket=self._text("ticket"),
            granted=frozenset(self._texts("granted")),
            site=self._text("site"),
            site_country=site_country,
            column=self._column(),
            expect=self._form(),
            because=self._text("because"),
            holds=self._holds(),
        )

    def _holds(self) -> tuple[HeldGrant, ...]:
        values = self._entry.get("holds", [])
        if not isinstance(values, list):
            raise self._error("holds", "`holds` must be a list of tables such as { kind = .., purpose = .. }")
        found: list[HeldGrant] = []
        for number, each in enumerate(values):
            facts = self._texts_of("holds", each, ("kind", "purpose", "ticket", "table"))
            kind = self._one_of("holds", facts.get("kind", "view"), GRANT_KINDS)
            tables = (facts["table"],) if "table" in facts else ()
            found.append(
                HeldGrant(
                    f"held-{number}", kind, facts.get("purpose", ""), facts.get("ticket", ""), tables, _TIME
                )
            )
        return tuple(found)

    def _read_act(self) -> PolicyTest:
        for key in self._entry:
            if key not in _ACT_KEYS:
                raise self._error(key, f"unknown key `{key}`", "known keys: " + ", ".join(_ACT_KEYS))
        for key in ("name", "as", "action", "grant", "expect"):
            if key not in self._entry:
                raise self._error("", f"the test has no `{key}`")
        action = self._one_of("action", self._text("action"), ACTIONS)
        related = self._one_of("related", self._text("related"), RELATIONS)
        if (action == APPROVE and related != "self") != ("asked_by" in self._entry):
            raise self._error("asked_by", "`asked_by` says who asked, where that is not the one in `as`")
        facts = self._table("grant", GRANT_KEYS)
        if ("table" in facts) == ("protection" in facts):
            raise self._error("grant", "`grant` needs either `protection` or `table`")
        protection = facts.get("protection", "public")
        self._one_of("grant", protection, tuple(CLOSED_ATTRIBUTES["protection"]))
        try:
            seconds = duration_seconds(facts.get("for", "1h"))
        except UsageError as error:
            raise self._error("grant", error.message, error.hint) from None
        example = GrantExample(
            action=action,
            asked_by=self._principal("asked_by") if "asked_by" in self._entry else None,
            related=related,
            kind=self._one_of("grant", facts.get("kind", "view"), (*GRANT_KINDS, *ACT_KINDS)),
            purpose=facts.get("purpose", ""),
            ticket=facts.get("ticket", ""),
            protection=protection,
            table=facts.get("table", ""),
            seconds=seconds,
        )
        principal = self._principal()
        return PolicyTest(
            name=self._text("name"),
            line=self._blocks.line(self._number),
            principal=principal,
            viewer=(ViewerSource("registration", principal.country),),
            purpose=example.purpose,
            ticket=example.ticket,
            granted=frozenset(),
            site="",
            site_country="",
            column=example,
            expect=Outcome(self._one_of("expect", self._text("expect"), tuple(Outcome))),
            because=self._text("because"),
        )

    def _one_of(self, key: str, value: str, known: tuple[str, ...]) -> str:
        if value not in known:
            names = ", ".join(sorted(filter(None, known)))
            raise self._error(key, f"`{value}` is not known in `{key}`", f"known: {names}")
        return value

    def _principal(self, who: str = "as") -> Principal:
        values = self._table(who, ("role", "country", "employer"))
        for key in ("role", "country"):
            if key not in values:
                raise self._error(who, f"`{who}` has no `{key}`")
        self._country(who, values["country"])
        name = "test" if who == "as" else "requester"
        return Principal(name, values["country"], values.get("employer", ""), values["role"])

    def _viewer(self, principal: Principal) -> tuple[ViewerSource, ...]:
        sources = [ViewerSource("registration", principal.country)]
        value = self._entry.get("viewer", [])
        countries = [value] if isinstance(value, str) else self._texts("viewer")
        for country in countries:
            if country:
                self._country("viewer", country)
            sources.append(ViewerSource("network zone", country))
        return tuple(sources)

    def _column(self) -> str | Column:
        if isinstance(self._entry["column"], str):
            return str(self._entry["column"])
        values = self._table("column", ("protection", "identifiability", "kind"))
        for key in ("protection", "identifiability"):
            if key not in values:
                raise self._error("column", f"`column` has no `{key}`")
        for key, value in values.items():
            if value not in CLOSED_ATTRIBUTES[key]:
                known = ", ".join(sorted(CLOSED_ATTRIBUTES[key]))
                raise self._error("column", f"`{value}` is not a value of `{key}`", f"known: {known}")
        kind = values.get("kind", "unknown")
        return Column(
            name=kind,
            data_type="text",
            protection=cast("Protection", values["protection"]),
            identifiability=cast("Identifiability", values["identifiability"]),
            kind=kind,
        )

    def _form(self) -> Form:
        text = self._text("expect")
        try:
            return Form(text)
        except ValueError:
            raise self._error("expect", f"`{text}` is not a form", "forms: " + ", ".join(Form)) from None

    def _table(self, key: str, known: tuple[str, ...]) -> dict[str, str]:
        return self._texts_of(key, self._entry[key], known)

    def _texts_of(self, key: str, values: object, known: tuple[str, ...]) -> dict[str, str]:
        if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
            raise self._error(key, f"`{key}` must be a table of texts such as {{ {known[0]} = .. }}")
        for each in values:
            if each not in known:
                raise self._error(key, f"unknown key `{each}` in `{key}`", "known keys: " + ", ".join(known))
        return values

    def _text(self, key: str) -> str:
        value = self._entry.get(key, "")
        if not isinstance(value, str) or (key == "name" and not value):
            raise self._error(key, f"`{key}` must be a text")
        return value

    def _texts(self, key: str) -> list[str]:
        value = self._entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._error(key, f"`{key}` must be a list of texts")
        return value

    def _country(self, key: str, value: str) -> None:
        if not _COUNTRY.fullmatch(value):
            raise self._error(key, f"`{value}` is not an ISO 3166-1 alpha-2 code", "for example IE")

    def _error(self, key: str, message: str, hint: str = "") -> ConfigurationError:
        name = self._entry.get("name")
        prefix = f"test `{name}`: " if isinstance(name, str) and name else ""
        return self._blocks.error(self._number, key, prefix + message, hint)


def _catalogued(catalogue: Catalogue) -> dict[str, tuple[ColumnKey, str]]:
    return {
        entity_name(dataset.name, table.name, column.name): (
            (dataset.name, table.name, column.name),
            dataset.database,
        )
        for dataset in catalogue.datasets
        for table in dataset.tables
        for column in table.columns
    }


def _catalogue_of(column: Column) -> Catalogue:
    return Catalogue((Dataset(EXAMPLE, EXAMPLE, "", (Table("public", EXAMPLE, (column,)),)),))
