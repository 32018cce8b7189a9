"""Where measuring is wired into a run: how far people can be told apart in what is about to leave.

Measured over tags of the reduced rows, before anything leaves; the result is evidence for an assessment, not
a judgement, and never says that data is anonymous. `measure` gives a document (kept as a blob that the
release names): coarse classes in the open, and the exact figures sealed for the holder of the evidence key
(`open_figures`), since counts beside a few people are values too. A contract's `smallest_group` stops a run.

What a recipient gets is remembered as tags (`kept/measured-RUN.TABLE.parquet`, `.json` beside it), so that
the next release of any transfer to the same recipient can be linked with it. It counts once the ledger says
that the run was released, and goes when the recipient's deletion is on record.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from ringfort.errors import CheckFailedError, UsageError
from ringfort.ledger.transfers import STARTED
from ringfort.paths import private_folder
from ringfort.policy.canonical import canonical_bytes
from ringfort.privacy.reidentification import OWN, Groups, Tagger, group_figures
from ringfort.privacy.reidentification_attacks import (
    Linkage,
    Rate,
    SinglingOut,
    canaries_alone,
    linkage,
    singling_out,
)
from ringfort.record.client import read_key
from ringfort.record.evidence import SALT_BYTES, Opener, Sealer, digest, public_half
from ringfort.record.reading import read_ledger
from ringfort.sites.domains import DomainStore
from ringfort.system import SystemRandomness
from ringfort.transfer.canaries import canaries_of, subject_values
from ringfort.transfer.keys import signer
from ringfort.transfer.linkage_figures import BETWEEN, Between
from ringfort.transfer.manifest import read_manifest
from ringfort.transfer.measures_database import measures_database, relation
from ringfort.transfer.share_classes import share_class
from ringfort.transfer.state import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import duckdb

    from ringfort.catalog.model import Catalogue
    from ringfort.config import Config
    from ringfort.ledger.folds import ControlState
    from ringfort.policy.contract import Contract
    from ringfort.privacy.pseudonym import Domain
    from ringfort.transfer.measured_rows import MeasuredTable

FORMAT = "ringfort-transfer-measures/1"
WORDING = "evidence for an assessment of re-identification; not a statement that data is anonymous"
_SHARD = "transfer-measures"
_GROUPS = ((1, "1"), (2, "2 to 4"), (5, "5 to 9"), (10, "10 to 19"), (20, "20 to 49"), (50, "50 or more"))
_LONG_NAME = 128


@dataclass(frozen=True)
class Measured:
    """`document` becomes the blob; `stops` are reasons not to release, naming tables, columns and counts."""

    document: bytes
    shown: Mapping[str, Any] = field(default_factory=dict)
    stops: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeasureInput:
    """`tables` are those that are measured, `tags` the files of tags of each (see `measured_rows`).

    `kept` is a folder of the transfer's own (0700) for what must be remembered from run to run. `domain` is
    the one that the run's pseudonyms are of; `state` the control log as the run saw it. `between` is what
    links the release with other recipients.
    """

    config: Config
    contract: Contract
    catalogue: Catalogue
    run: str
    tables: Mapping[str, MeasuredTable]
    tags: Mapping[str, Sequence[Path]]
    kept: Path
    state: ControlState
    domain: Domain | None = None
    between: Between = field(default_factory=Between)


@dataclass(frozen=True)
class TableFigures:
    """The exact figures of a table."""

    table: MeasuredTable
    groups: Groups
    singling_out: SinglingOut
    canaries: Rate
    linkages: tuple[tuple[str, Linkage], ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "table": self.table.name,
            "quasi_identifiers": list(self.table.quasi),
            "sensitive": list(self.table.sensitive),
            "people_by": "data subject" if self.table.subject else "row",
            **self.groups.to_json(),
            "singling_out": self.singling_out.to_json(),
            "canaries": self.canaries.to_json(),
            "linkage": [{"with": name} | each.to_json() for name, each in self.linkages],
        }

    def coarse(self) -> dict[str, Any]:
        """In classes, fit for a record that many read."""
        people = self.groups.people
        return {
            "quasi_identifiers": list(self.table.quasi),
            "people_by": "data subject" if self.table.subject else "row",
            "smallest_group": _class(self.groups.k),
            "alone": share_class(self.groups.alone, people),
            "without_subject": share_class(self.groups.rows_of_nobody, self.groups.rows),
            "fewest_values": {
                name: _class(each.l)
                for name, each in zip(self.table.sensitive, self.groups.diversity, strict=True)
            },
            "singled_out": share_class(self.singling_out.risk, 1)
            if self.singling_out.targets.tries
            else "not measured",
            "seen_before": share_class(max((each.common for _, each in self.linkages), default=0), people),
            "linked_by_attack": share_class(
                max((each.linked.share for _, each in self.linkages), default=0.0), 1
            ),
            "linked_by_pseudonym": any(each.by_pseudonym and each.common for _, each in self.linkages),
        }


def measure(given: MeasureInput) -> Measured:
    """The figures of a run."""
    dataset = given.catalogue.dataset(given.contract.dataset)
    domains = DomainStore.of(given.config)
    tagger = Tagger(domains.fingerprint_key())
    kept = private_folder(given.kept)
    _forget(given)
    canaries = canaries_of(domains.custody)
    figures: list[TableFigures] = []
    unmeasured: list[str] = []
    with measures_database(given.config, kept) as connection:
        for stated in given.contract.tables:
            table = given.tables.get(stated.name)
            if table is None:
                unmeasured.append(stated.name)
                continue
            relation(connection, "measured", *given.tags[stated.name])
            groups = group_figures(connection, "measured", len(table.quasi), len(table.sensitive))
            singled = singling_out(connection, len(table.quasi))
            linked = tuple(_linkages(connection, given, table))
            planted: list[int] = []
            place = dataset.subject_column()
            if table.subject and place is not None:
                keys = subject_values(canaries, dataset.table(place[0]).column(place[1]))
                planted = tagger.column(table.person, keys).to_pylist()
            figures.append(TableFigures(table, groups, singled, canaries_alone(connection, planted), linked))
            if table.subject and RUN.fullmatch(given.run):  # in a trial nobody gets it
                _remember(connection, given, table)
    stops = _stops(given.contract, figures)
    shown: dict[str, Any] = {
        "wording": WORDING,
        "tables": {each.table.name: each.coarse() for each in figures},
        "without_quasi_identifiers": unmeasured,
    }
    exact: dict[str, Any] = {
        "format": FORMAT,
        "run": given.run,
        "wording": WORDING,
        "tables": [each.to_json() for each in figures],
    }
    if given.between:
        shown[BETWEEN], exact[BETWEEN] = given.between.shown(), given.between.exact()
    return Measured(_document(given, shown, exact), shown, stops)


def open_figures(config: Config, document: bytes) -> dict[str, Any]:
    """The exact figures of a document, for whoever has the evidence key; raises if they do not fit."""
    try:
        stated = json.loads(document)
        sealed = base64.b64decode(stated["figures"]["sealed"], validate=True)
        wanted = stated["figures"]["sha256"]
    except (ValueError, KeyError, TypeError):
        raise CheckFailedError("this is no document of measures") from None
    (piece,) = Opener(read_key(config.folder / "secrets" / "evidence.key")).open(_SHARD, sealed)
    if digest(piece) != wanted:
        raise CheckFailedError("the sealed figures are not the ones that the document names")
    figures: dict[str, Any] = json.loads(piece[SALT_BYTES:])
    return figures


def released_figures(config: Config, transfer: str, run: str = "") -> dict[str, Any]:
    """The exact figures of a run that was released, the last one unless `run` names another."""
    ledger = read_ledger(config.folder)
    known = ledger.state.transfers.get(transfer)
    runs = [each for each in (() if known is None else known.runs) if each.manifest]
    found = next((each for each in reversed(runs) if run in {"", each.id}), None)
    if found is None:
        raise UsageError(
            f"`{transfer}` released no such run", hint="`ringfort transfer list` shows what there is"
        )
    manifest = read_manifest(ledger.get_blob(found.manifest), signer(config).key)
    return open_figures(config, ledger.get_blob(manifest.measures))


def shown_lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """What is shown of the measures, for people to read."""
    if not shown:
        return
    yield f"re-identification: {shown['wording']}"
    for table, each in shown["tables"].items():
        yield f"  {table}, by {each['people_by']}, over {', '.join(each['quasi_identifiers'])}:"
        yield f"    people in the smallest group: {each['smallest_group']}; alone in theirs: {each['alone']}"
        if each.get("without_subject", "none") != "none":
            yield f"    rows without a data subject's key, each a group of one: {each['without_subject']}"
        for column, fewest in each["fewest_values"].items():
            yield f"    different values of {column} in a group, at least: {fewest}"
        yield f"    singled out by attack: {each['singled_out']}"
        linked = "all of them, by pseudonym" if each["linked_by_pseudonym"] else each["linked_by_attack"]
        yield f"    seen by this recipient before: {each['seen_before']}; linked: {linked}"
    for table in shown["without_quasi_identifiers"]:
        yield f"  {table}: no quasi-identifiers or no rows, nothing measured"


def _class(number: int) -> str:
    return next((name for least, name in reversed(_GROUPS) if number >= least), "0")


def _stops(contract: Contract, figures: Sequence[TableFigures]) -> tuple[str, ...]:
    least = contract.smallest_group
    return tuple(
        f"in table `{each.table.name}` a group that shares all quasi-identifiers has fewer people"
        f" than the {least:,} that the contract asks for{_nobody(each.groups)}"
        for each in figures
        if least and 0 < each.groups.k < least
    )


def _nobody(groups: Groups) -> str:
    if not groups.rows_of_nobody:
        return ""
    return ": each row without a data subject's key is a group of one"


def _document(given: MeasureInput, shown: Mapping[str, Any], exact: Mapping[str, Any]) -> bytes:
    randomness = SystemRandomness()
    public = public_half(read_key(given.config.folder / "secrets" / "evidence.key"))
    piece = randomness.token(SALT_BYTES) + orjson.dumps(exact, option=orjson.OPT_SORT_KEYS)
    sealed = Sealer(public, randomness).seal(_SHARD, [piece])
    return canonical_bytes(
        {
            "format": FORMAT,
            "run": given.run,
            "classes": dict(shown),
            "figures": {"sha256": digest(piece), "sealed": base64.b64encode(sealed).decode()},
        }
    )


# -- what the recipient has ---------------------------------------------------------------------------------


def _name(run: str, table: str) -> str:
    name = table.encode().hex()
    if len(name) > _LONG_NAME:
        name = hashlib.sha256(table.encode()).hexdigest()
    return f"measured-{run}.{name}"


def _remember(connection: duckdb.DuckDBPyConnection, given: MeasureInput, table: MeasuredTable) -> None:
    """What the next measures must know to link with this release: each person's groups, once."""
    about = {
        "transfer": given.contract.name,
        "run": given.run,
        "entity": given.contract.recipient.entity,
        "domain": "" if given.domain is None else given.domain.id,
        "table": table.name,
        "by_pseudonym": table.by_pseudonym,
        "quasi": list(table.labels[: len(table.quasi)]),
        "person": table.person,
    }
    path = given.kept / f"{_name(given.run, table.name)}.parquet"
    named = connection.table("people").filter(f"{OWN} = 0")
    named.select(f"* EXCLUDE (rows, {OWN})").write_parquet(str(path), compression="zstd")
    path.chmod(0o600)
    note = path.with_suffix(".json")
    note.write_text(json.dumps(about), encoding="utf-8")
    note.chmod(0o600)


def _forget(given: MeasureInput) -> None:
    """Delete what this transfer remembers of runs that never left, or that the recipient has deleted."""
    known = given.state.transfers.get(given.contract.name)
    held = {each.id for each in (() if known is None else known.runs) if each.status == STARTED or each.held}
    for path in given.kept.glob("measured-*"):
        run = path.name.removeprefix("measured-").partition(".")[0]
        if run not in held:
            path.unlink(missing_ok=True)


def _earlier(given: MeasureInput) -> Iterator[tuple[dict[str, Any], Path]]:
    """The sets that the same recipient holds, of any transfer, oldest first."""
    found = []
    for note in given.kept.parent.parent.glob("*/kept/measured-*.json"):
        with contextlib.suppress(ValueError, KeyError, OSError):
            about = json.loads(note.read_text(encoding="utf-8"))
            known = given.state.transfers.get(about["transfer"])
            run = None if known is None else known.run(about["run"])
            if (
                run is not None
                and run.held
                and about["run"] != given.run
                and about["entity"] == given.contract.recipient.entity
            ):
                found.append((about, note.with_suffix(".parquet")))
    return iter(sorted(found, key=lambda each: (each[0]["run"], str(each[1]))))


def _linkages(
    connection: duckdb.DuckDBPyConnection, given: MeasureInput, table: MeasuredTable
) -> Iterator[tuple[str, Linkage]]:
    mine = list(table.labels[: len(table.quasi)])
    for about, path in _earlier(given):
        if not table.subject or about["person"] != table.person or not path.is_file():
            continue
        shared = [(mine.index(label), at) for at, label in enumerate(about["quasi"]) if label in mine]
        same = given.domain is not None and about["domain"] == given.domain.id
        relation(connection, "earlier", path)
        found = linkage(
            connection, "earlier", shared, by_pseudonym=same and table.by_pseudonym and about["by_pseudonym"]
        )
        yield f"{about['transfer']}/{about['run']}/{about['table']}", found


__all__ = [
    "MeasureInput",
    "Measured",
    "TableFigures",
    "measure",
    "open_figures",
    "released_figures",
    "shown_lines",
]
