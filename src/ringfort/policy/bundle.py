"""Policies, schema and tests as one addressed bundle.

A bundle is what the ledger records as `PolicyActivated` and what an overseer replays: the files of `policy/`
as one canonical JSON document `{"files": {name: text}, "format": ...}`, addressed by its SHA-256. Nothing
else of the folder decides anything, and a file whose kind is unknown is refused rather than ignored: a forbid
that is left out because of its file's name would go unnoticed.

Invariant: equal files give equal bytes and digests, whatever the order or place they were read from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.errors import ConfigurationError
from ringfort.policy.canonical import canonical_bytes, digest_of, parse_canonical
from ringfort.policy.engine import CEDARPY_VERSION, Query, compile_engine
from ringfort.policy.forms import ASKED
from ringfort.policy.grant_rules import RULES_FILE, GrantRules, parse_rules
from ringfort.policy.grants import APPROVE, BREAK_GLASS, ActRequest, GrantFacts, grant_query
from ringfort.policy.request import HeldGrant, Principal
from ringfort.policy.settings import SETTINGS_FILE, PolicySettings, Purposes, parse_settings
from ringfort.policy.source import SourceFile
from ringfort.policy.validate import ABOUT_GRANTS, purpose_problems, validate_literals
from ringfort.policy.vocabulary import (
    action_uid,
    column_entity,
    column_uid,
    context_json,
    table_entities,
    user_entity,
    user_uid,
)
from ringfort.toml_source import locate

if TYPE_CHECKING:
    from ringfort.policy.engine import Engine, Policy

EVALUATOR = f"ringfort-policy/2 cedarpy/{CEDARPY_VERSION}"
"""Names the code that decides; recorded beside every decision, because a replay needs the same."""
FORMAT = "ringfort-policy-bundle/1"
SCHEMA_FILE = "schema.cedarschema"
TESTS_FILE = "tests.toml"
GRANT_SCHEMA_FILE = "grants.cedarschema"
GRANT_FILE = "grants.cedar"
MAX_BYTES = 2 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class PolicyError(ConfigurationError):
    """A bundle that does not compile. It reads as the first fault; `problems` holds all of them."""

    def __init__(self, problems: tuple[ConfigurationError, ...]) -> None:
        first, more = problems[0], len(problems) - 1
        hint = first.hint
        if more:
            hint = f"{hint}; " if hint else ""
            hint += f"{more} more: `ringfort policy check` lists them"
        super().__init__(first.message, hint=hint)
        self.path, self.line = first.path, first.line
        self.problems = problems


@dataclass(frozen=True)
class PolicyBundle:
    """The files of a policy folder, sorted by name. `folder` only helps messages to say where."""

    files: tuple[SourceFile, ...]
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda each: each.name)))

    @property
    def digest(self) -> str:
        """SHA-256 of `to_bytes`, hexadecimal."""
        return digest_of(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The canonical JSON document."""
        return canonical_bytes({"format": FORMAT, "files": {each.name: each.text for each in self.files}})

    @classmethod
    def from_bytes(cls, blob: bytes) -> PolicyBundle:
        """The inverse of `to_bytes`; raises `ConfigurationError` on anything but canonical bytes."""
        try:
            document = parse_canonical(blob)
        except ValueError as error:
            raise ConfigurationError(f"the policy bundle {error}") from None
        if (
            not isinstance(document, dict)
            or set(document) != {"format", "files"}
            or document["format"] != FORMAT
            or not isinstance(document["files"], dict)
            or not all(isinstance(text, str) for text in document["files"].values())
        ):
            raise ConfigurationError(f"the bytes are not a policy bundle of the format `{FORMAT}`")
        bundle = cls(tuple(SourceFile(name, text) for name, text in document["files"].items()))
        _check_names(bundle)
        return bundle

    def file(self, name: str) -> SourceFile | None:
        """The file called `name`, None if the bundle has none."""
        return next((each for each in self.files if each.name == name), None)

    def path_of(self, name: str) -> Path:
        """The path of a file, for messages."""
        return Path(name) if self.folder is None else self.folder / name

    def problems(self, catalogue: Catalogue | None = None) -> tuple[ConfigurationError, ...]:
        """Every fault of the bundle, together with a catalogue if one is given; empty if it may be used."""
        compiled, problems = self.try_compile()
        if compiled is None or catalogue is None:
            return problems
        return compiled.catalogue_problems(catalogue)

    def compile(self) -> CompiledBundle:
        """The bundle ready to decide; raises `PolicyError` with every fault."""
        compiled, problems = self.try_compile()
        if compiled is None:
            raise PolicyError(problems)
        return compiled

    def try_compile(self) -> tuple[CompiledBundle | None, tuple[ConfigurationError, ...]]:
        """The bundle ready to decide, or None and every fault."""
        schema = self.file(SCHEMA_FILE)
        if schema is None:
            message = f"the bundle has no `{SCHEMA_FILE}`"
            return None, (ConfigurationError(message, path=self.folder, hint=_DEFAULTS_HINT),)
        policies = [each for each in self.files if each.name.endswith(".cedar") and each.name != GRANT_FILE]
        result = compile_engine(schema, policies, self.folder)
        if result.engine is None:
            return None, result.problems
        faults = _schema_faults(result.engine, sees_grants=True)
        sees_grants = not faults
        if faults and not _schema_faults(result.engine, sees_grants=False):
            faults = []  # a schema of before there were grants: its policies cannot ask for them
        if faults:
            message = f"the schema does not describe what the gateway asks: {faults[0]}"
            return None, (
                ConfigurationError(message, path=self.path_of(SCHEMA_FILE), line=1, hint=_SCHEMA_HINT),
            )
        problems = validate_literals(result.engine.policies, None, self.folder)
        grants, faults_about_grants = self._compile_grants()
        problems += faults_about_grants
        rules, settings = GrantRules(), PolicySettings()
        try:
            stated = self.file(RULES_FILE)
            if stated is not None:
                rules = parse_rules(stated.text, self.path_of(RULES_FILE))
        except ConfigurationError as error:
            problems.append(error)
        try:
            stated = self.file(SETTINGS_FILE)
            if stated is not None:
                settings = parse_settings(stated.text, self.path_of(SETTINGS_FILE))
        except ConfigurationError as error:
            problems.append(error)
        for engine in (result.engine, grants):
            if engine is not None:
                problems += purpose_problems(engine.policies, settings.purposes, self.folder)
        if problems:
            return None, tuple(problems)
        return CompiledBundle(self, result.engine, grants, rules, settings, sees_grants=sees_grants), ()

    def _compile_grants(self) -> tuple[Engine | None, list[ConfigurationError]]:
        """The policies about grants; None without a fault if the bundle has none."""
        schema, policies = self.file(GRANT_SCHEMA_FILE), self.file(GRANT_FILE)
        if policies is None:
            return None, []
        if schema is None:
            message = f"the bundle has `{GRANT_FILE}` and no `{GRANT_SCHEMA_FILE}`"
            return None, [ConfigurationError(message, path=self.folder, hint=_DEFAULTS_HINT)]
        result = compile_engine(schema, [policies], self.folder)
        if result.engine is None:
            return None, list(result.problems)
        faults = _grant_schema_faults(result.engine)
        if faults:
            message = f"the schema does not describe what is asked about grants: {faults[0]}"
            path = self.path_of(GRANT_SCHEMA_FILE)
            return None, [ConfigurationError(message, path=path, line=1, hint=_SCHEMA_HINT)]
        return result.engine, validate_literals(result.engine.policies, None, self.folder, ABOUT_GRANTS)


class CompiledBundle:
    """A bundle that has been parsed and validated once, to decide with many times. Immutable."""

    evaluator = EVALUATOR

    def __init__(
        self,
        bundle: PolicyBundle,
        engine: Engine,
        grant_engine: Engine | None = None,
        grant_rules: GrantRules | None = None,
        settings: PolicySettings | None = None,
        *,
        sees_grants: bool = True,
    ) -> None:
        self.bundle = bundle
        self.engine = engine
        self.grant_engine = grant_engine
        """Policies about grants; None if the bundle has none: then nobody is permitted anything."""
        self.grant_rules = grant_rules or GrantRules()
        self.settings = settings or PolicySettings()
        self.sees_grants = sees_grants
        """Whether the schema has `context.grants`."""
        self.digest = bundle.digest

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All policies, those about grants last."""
        return self.engine.policies + (self.grant_engine.policies if self.grant_engine else ())

    def catalogue_problems(self, catalogue: Catalogue) -> tuple[ConfigurationError, ...]:
        """Datasets, tables and columns that policies name and the catalogue does not have."""
        found = validate_literals(self.engine.policies, catalogue, self.bundle.folder)
        if self.grant_engine is not None:
            found += validate_literals(
                self.grant_engine.policies, catalogue, self.bundle.folder, ABOUT_GRANTS
            )
        return (*found, *self._stored_order_problems(catalogue))

    def _stored_order_problems(self, catalogue: Catalogue) -> list[ConfigurationError]:
        known = {each.name for each in catalogue.datasets}
        source = self.bundle.file(SETTINGS_FILE)
        line = 1 if source is None else locate(source.text, ("accept_stored_order",))
        return [
            ConfigurationError(
                f"`accept_stored_order` names dataset `{name}`, which the catalogue does not have",
                path=self.bundle.path_of(SETTINGS_FILE),
                line=line,
                hint="correct the name here or in catalog.toml",
            )
            for name in sorted(self.settings.accept_stored_order - known)
        ]

    def remarks(self) -> tuple[str, ...]:
        """What is allowed but may not be meant."""
        if self.settings.purposes.listed is None and self.bundle.folder is not None:
            return (ANY_PURPOSE,)
        permits = [each for each in self.engine.policies if each.effect == "permit"]
        if not permits:
            return ("no policy permits anything: every column is hidden from everybody",)
        if self.bundle.file(TESTS_FILE) is None:
            return (f"there is no {TESTS_FILE}: nothing says what these policies are meant to do",)
        if self.grant_engine is None and self.bundle.folder is not None:
            return (f"there is no {GRANT_FILE}: nobody can be given a grant",)
        return ()


def load_bundle(folder: Path) -> PolicyBundle:
    """Read a policy folder; raises `ConfigurationError` for what is missing, unknown or not UTF-8."""
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        raise ConfigurationError("no such folder", path=folder, hint=_DEFAULTS_HINT) from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", path=folder) from None
    files: list[SourceFile] = []
    size = 0
    for path in entries:
        if path.name.startswith(".") or path.suffix == ".md":
            continue
        if not _known(path.name) or not path.is_file():
            raise ConfigurationError(
                "is not a policy file",
                path=path,
                hint=f"a policy folder holds *.cedar, {', '.join(_OTHER_FILES)} and notes in *.md",
            )
        try:
            raw = path.read_bytes()
            text = raw.decode("utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot be read: {error.strerror}", path=path) from None
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise ConfigurationError("is not UTF-8", path=path, line=line) from None
        size += len(raw)
        files.append(SourceFile(path.name, text))
    if size > MAX_BYTES:
        raise ConfigurationError(f"holds more than {MAX_BYTES} bytes", path=folder)
    if not any(each.name == SCHEMA_FILE for each in files):
        raise ConfigurationError(f"has no `{SCHEMA_FILE}`", path=folder, hint=_DEFAULTS_HINT)
    return PolicyBundle(tuple(files), folder)


def default_bundle() -> PolicyBundle:
    """The shipped policies."""
    folder = package_files("ringfort.policy") / "defaults"
    return PolicyBundle(
        tuple(
            SourceFile(each.name, each.read_text(encoding="utf-8"))
            for each in folder.iterdir()
            if _known(each.name)
        )
    )


def write_defaults(folder: Path) -> None:
    """Write the shipped policies into `folder`, made if missing; a file that is there is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in default_bundle().files:
        path = folder / each.name
        if not path.exists():
            path.write_text(each.text, encoding="utf-8")


ANY_PURPOSE = (
    f"there is no {SETTINGS_FILE}: any purpose may be stated, and each gets pseudonyms of its own; "
    "the next `ringfort policy apply` needs the list"
)
_DEFAULTS_HINT = "`ringfort init` writes a default policy set"
_OTHER_FILES = (SCHEMA_FILE, GRANT_SCHEMA_FILE, RULES_FILE, SETTINGS_FILE, TESTS_FILE)
_SCHEMA_HINT = "policies may change, the schema is given: take back the one that `ringfort init` wrote"


def _known(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and (name in _OTHER_FILES or name.endswith(".cedar"))


def _check_names(bundle: PolicyBundle) -> None:
    for each in bundle.files:
        if not _known(each.name):
            raise ConfigurationError("the policy bundle holds a file that is not a policy file")


def _schema_faults(engine: Engine, *, sees_grants: bool) -> list[str]:
    """Ask the schema about one request of the shape that `decide` sends, for each form."""
    column = Column("column", "text", "public", "none")
    entities = [
        user_entity("somebody", role="support", country="IE", employer="controller"),
        *table_entities("dataset", "table"),
        column_entity("dataset", "table", column),
    ]
    context = context_json(
        viewer_country="IE",
        region=["IE"],
        site="site-1",
        site_country="IE",
        purpose="purpose",
        ticket="ticket",
        granted=["grant"],
        grants=[HeldGrant("g", "view", "purpose", "ticket", ("dataset",), "")] if sees_grants else None,
    )
    resource = column_uid("dataset", "table", "column")
    queries = [Query(user_uid("somebody"), action_uid(form), resource, context) for form in ASKED]
    return engine.faults(entities, queries)


def _grant_schema_faults(engine: Engine) -> list[str]:
    """Ask the schema about one request of the shape that `decide_grant` sends, for each act."""
    column = Column("column", "text", "public", "none")
    catalogue = Catalogue((Dataset("dataset", "database", "", (Table("public", "table", (column,)),)),))
    somebody = Principal("somebody", "IE", "controller", "approver")
    facts = GrantFacts("grant", "view", "purpose", "ticket", ("dataset.table",), 60)
    faults: list[str] = []
    for action in (APPROVE, BREAK_GLASS):  # a schema of before there were others denies those
        request = ActRequest(action, somebody, (), somebody, (), facts, 0, 1, "")
        faults += engine.faults(*grant_query(catalogue, frozenset({"IE"}), request))
    return faults


def purposes_of(bundle: bytes) -> Purposes:
    """The purposes that may be stated under a bundle, without making it ready to decide."""
    source = PolicyBundle.from_bytes(bundle).file(SETTINGS_FILE)
    return Purposes() if source is None else parse_settings(source.text).purposes
