"""`ringfort init`: a new deployment folder, with the data of a file, of an existing database, or empty."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ringfort.catalog.check import problems
from ringfort.catalog.load import dump_catalogue
from ringfort.catalog.model import Catalogue, Dataset
from ringfort.catalog.sample import sampled
from ringfort.catalog.scan import propose
from ringfort.config import SiteConfig
from ringfort.errors import UsageError
from ringfort.paths import Layout, leftovers, server_place
from ringfort.private_files import write_private
from ringfort.sites.connect import admin_connection, dsn_parts, with_password
from ringfort.sites.deployment import Deployment, Plan, as_data_owner, checked_name, create_database
from ringfort.sites.external import WILL_BE_MADE, inspect_site
from ringfort.sites.introspect import read_tables
from ringfort.sites.load import load_tabular, table_name
from ringfort.sites.postgres import EmbeddedServer
from ringfort.sites.tabular import open_tabular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# libpq's two ways to write a connection string: it may hold a password, so it is no file's name
_PAIRS = r"(\w+\s*=.*)?\b(host|hostaddr|dbname|service|password)\s*="
_DSN = re.compile(rf"postgres(ql)?://|{_PAIRS}", re.IGNORECASE)
_SITE = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_EPILOG = """\
Examples:

    ringfort init ./shop --from sales.parquet
    ringfort init ./shop --from sales.csv --subject CustomerID --country Country
    ringfort init ./crm --from postgresql://admin@db.example.eu:5432/crm
"""


@dataclass
class _Outcome:
    """What was made, to be told."""

    folder: Path
    site: SiteConfig
    catalogue: Catalogue
    rows: int | None
    notes: list[str]


def command(
    folder: Path = typer.Argument(..., metavar="DIR", help="The folder to make; it must be new or empty."),
    *,
    source: str = typer.Option(
        "",
        "--from",
        metavar="FILE|URL",
        help="A .parquet or .csv file to load, or postgresql://USER@HOST:PORT/DATABASE to leave where it is.",
    ),
    subject: str = typer.Option(
        "", "--subject", metavar="COLUMN", help="The column that says whose data a row is (TABLE.COLUMN)."
    ),
    country: str = typer.Option(
        "", "--country", metavar="COLUMN", help="The column that says which country a person lives in."
    ),
    name: str = typer.Option(
        "", "--name", metavar="NAME", help="Name of database and dataset; from the file if not given."
    ),
    site: str = typer.Option("site-1", "--site", metavar="NAME", help="Name of the site (data centre)."),
    site_country: str = typer.Option("IE", "--site-country", metavar="CC", help="The country it is in."),
    organisation: str = typer.Option(
        "", "--organisation", metavar="NAME", help="Whose deployment it is; from DIR if not given."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Make a deployment folder: load the data, propose a catalogue, write policies, make keys.

    A file goes into a PostgreSQL that Ringfort runs itself. Of a database that you name nothing is copied and
    nothing is changed: its tables are looked at, and its connection string is kept in DIR/secrets.
    """
    if not _SITE.fullmatch(site):
        raise UsageError(f"`--site {site}` is not valid", hint="use a-z, 0-9 and -, at most 40")
    if not re.fullmatch(r"[A-Z]{2}", site_country):
        raise UsageError(f"`--site-country {site_country}` is no country code", hint="for example IE")
    organisation = organisation or folder.absolute().name
    external = bool(_DSN.match(source)) and not Path(source).is_file()
    place = SiteConfig(site, "external" if external else "embedded", site_country)
    make = _from_database if external else _from_file
    outcome = make(folder, source, _Wishes(organisation, place, name, subject, country))
    if as_json:
        typer.echo(json.dumps(_json(outcome), ensure_ascii=False, indent=2))
    else:
        _show(outcome)


command.__doc__ = f"{command.__doc__}\n\n{_EPILOG}"


@dataclass(frozen=True)
class _Wishes:
    organisation: str
    site: SiteConfig
    name: str
    subject: str
    country: str

    def plan(self, database: str) -> Plan:
        site = SiteConfig(self.site.name, self.site.kind, self.site.country, (database,))
        return Plan(self.organisation, site)


def _from_file(folder: Path, source: str, wishes: _Wishes) -> _Outcome:
    with _working() as step:
        opened = None
        if source:
            step(f"reading {source}")
            opened = open_tabular(Path(source))
            empty = sampled(table_name(Path(source)), {name: (kind, []) for name, kind in opened.columns})
            propose([empty], dataset="", database="", subject=wishes.subject, country=wishes.country)
        elif wishes.subject or wishes.country:
            raise UsageError(
                "`--subject` and `--country` name columns of `--from`, which is missing", hint="add it"
            )
        database = checked_name(wishes.name or (table_name(Path(source)) if source else "main"))
        plan = wishes.plan(database)
        deployment = Deployment(folder, plan)
        server = EmbeddedServer.of_site(folder, plan.site.name)
        try:
            step("making keys and policies")
            deployment.begin()
            step(f"making site {plan.site.name}")
            with server:
                create_database(server, database, replace=deployment.resumed)
                rows, notes = None, []
                with admin_connection(server.admin_dsn(database)) as connection:
                    if opened is not None:
                        table = table_name(Path(source))
                        bar = step(f"loading {table}")
                        with as_data_owner(connection):
                            report = load_tabular(connection, opened, table=table, progress=bar)
                        rows, notes = report.rows, list(report.notes)
                    step("looking at names and values")
                    catalogue = _scan(connection, database, database, wishes)
            deployment.finish(dump_catalogue(catalogue))
        except BaseException:
            deployment.abandon(server)
            raise
    return _Outcome(folder, plan.site, catalogue, rows, notes)


def _from_database(folder: Path, source: str, wishes: _Wishes) -> _Outcome:
    dsn = _with_asked_password(source)
    with _working() as step:
        step("connecting")
        with admin_connection(dsn, application_name="ringfort init") as connection:
            found = inspect_site(connection)
            plan = wishes.plan(found.database)
            deployment = Deployment(folder, plan)
            try:
                step("making keys and policies")
                deployment.begin()
                write_private(deployment.layout.site_dsn(plan.site.name), dsn.encode() + b"\n")
                bar = step("looking at names and values")
                name = wishes.name or table_name(Path(found.database))
                catalogue = _scan(connection, name, found.database, wishes, bar)
                deployment.finish(dump_catalogue(catalogue))
            except BaseException:
                deployment.abandon()
                raise
    notes = [*found.warnings, f"nothing was changed; `ringfort up` will make there: {WILL_BE_MADE}"]
    return _Outcome(folder, plan.site, catalogue, None, notes)


def _scan(
    connection: Any,  # noqa: ANN401 - a psycopg connection, whose row type says nothing here
    dataset: str,
    database: str,
    wishes: _Wishes,
    progress: Callable[[int, int], None] | None = None,
) -> Catalogue:
    tables = read_tables(connection, progress=progress)
    made = propose(tables, dataset=dataset, database=database, subject=wishes.subject, country=wishes.country)
    for problem in problems(made):  # what is written must be what can be read
        raise UsageError(f"no catalogue can be written: {problem.message}", hint=problem.hint)
    return made


def _with_asked_password(source: str) -> str:
    """The connection string with a password: its own, PGPASSWORD, or asked for at the terminal."""
    parts = dsn_parts(source)
    if parts.get("password") or parts.get("passfile") or parts.get("service") or parts.get("sslcert"):
        return with_password(source, "")
    password = os.environ.get("PGPASSWORD", "")
    if not password and sys.stdin.isatty() and sys.stderr.isatty():
        password = typer.prompt("Password", default="", show_default=False, hide_input=True, err=True)
    return with_password(source, password)


@contextlib.contextmanager
def _working() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Steps with bars on a terminal's standard error; lines without bars elsewhere."""
    console = Console(stderr=True)
    done_of_all = TextColumn("{task.fields[count]}")
    columns = (TextColumn("{task.description}"), BarColumn(), done_of_all, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def step(text: str) -> Callable[[int, int], None]:
            for each in progress.tasks:
                progress.update(each.id, visible=False)
            task = progress.add_task(text, total=None, count="")
            if not console.is_terminal:
                console.print(text, highlight=False, markup=False)
            return lambda done, total: progress.update(
                task, completed=done, total=total, count=f"{done:,} of {total:,}"
            )

        yield step


def _show(outcome: _Outcome) -> None:
    console = Console(highlight=False)
    rows = "" if outcome.rows is None else f", {outcome.rows:,} rows"
    site = outcome.site
    where = f"site {site.name} ({site.country}, {site.kind})"
    console.print(f"{where}, database {site.databases[0]}{rows}", markup=False, soft_wrap=True)
    if site.kind == "embedded":
        record = Layout(outcome.folder.absolute()).site_folder(site.name)
        console.print(f"data in {server_place(record)}", markup=False, soft_wrap=True)
    for note in outcome.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for dataset in outcome.catalogue.datasets:
        _show_dataset(console, dataset)
    columns = [each for _, _, each in _columns(outcome.catalogue)]
    unsure, hidden = sum(bool(each.unsure) for each in columns), sum(not each.classified for each in columns)
    told = f"{unsure} to be looked at, {hidden} unclassified and hidden for everyone"
    folder = outcome.folder
    console.print(
        f"\n{len(columns)} columns: {told}\n\n"
        "next:\n"
        f"  look at {folder}/catalog.toml and {folder}/policy\n"
        f"  ringfort policy check {folder}\n"
        f"  ringfort principal add {folder} alice --country IE --employer acme --role support\n"
        f"  ringfort up {folder}",
        markup=False,
        soft_wrap=True,
    )
    for place, origin in leftovers():
        note = f"note: `{place}` holds the database of `{origin}`, which is gone: `ringfort remove --orphans`"
        console.print(note, soft_wrap=True, markup=False)


def _show_dataset(console: Console, dataset: Dataset) -> None:
    subject = dataset.subject or "nobody: no column was taken for one"
    console.print(f"\ndataset {dataset.name}, data subject: {subject}", markup=False)
    for table in dataset.tables:
        shown = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for heading in (table.name, "protection", "identifiability", "kind", ""):
            shown.add_column(heading, overflow="fold")
        for each in table.columns:
            style = "" if each.classified else "dim"
            protection = each.protection or "unclassified"
            cells = (each.name, protection, each.identifiability or "", each.kind, "?" if each.unsure else "")
            shown.add_row(*(Text(cell, style=style) for cell in cells))
        console.print(shown)
        if table.subject_path:
            console.print(Text(f"  {table.subject_path}", style="dim"))
        if table.view:
            seen = (
                f"  {table.schema}.{table.name} is seen as {table.view}: the plain name is taken or reserved"
            )
            console.print(Text(seen), soft_wrap=True)
    doubts = [
        (f"{table.name}.{each.name}", each.unsure) for table in dataset.tables for each in table.columns
    ]
    doubts = [(name, why) for name, why in doubts if why]
    if doubts:
        console.print("\nto be looked at (?):")
        width = min(max(len(name) for name, _ in doubts), 40)
        for name, why in doubts:
            console.print(f"  {name:<{width}}  {why}", markup=False, soft_wrap=True)


def _columns(catalogue: Catalogue) -> list[tuple[str, str, Any]]:
    return [
        (dataset.name, table.name, column)
        for dataset in catalogue.datasets
        for table in dataset.tables
        for column in table.columns
    ]


def _json(outcome: _Outcome) -> dict[str, Any]:
    return {
        "folder": str(outcome.folder.absolute()),
        "site": {"name": outcome.site.name, "kind": outcome.site.kind, "country": outcome.site.country},
        "databases": list(outcome.site.databases),
        "rows": outcome.rows,
        "notes": outcome.notes,
        "views": {
            f"{table.schema}.{table.name}": table.seen_as
            for dataset in outcome.catalogue.datasets
            for table in dataset.tables
        },
        "subjects": {each.name: each.subject for each in outcome.catalogue.datasets},
        "columns": [
            {
                "dataset": dataset,
                "table": table,
                "column": column.name,
                "type": column.data_type,
                "protection": column.protection,
                "identifiability": column.identifiability,
                "kind": column.kind,
                "unsure": column.unsure,
            }
            for dataset, table, column in _columns(outcome.catalogue)
        ],
    }
