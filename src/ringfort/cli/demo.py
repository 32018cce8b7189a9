"""`ringfort demo`: the main job, end to end, on a synthetic population."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import typer
from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ringfort import logs
from ringfort.cli.ledger import verify_command
from ringfort.cli.principal import register
from ringfort.config import SiteConfig
from ringfort.demo import scenario, show
from ringfort.demo.identities import STAFF, VISITORS
from ringfort.demo.population import MAX_PEOPLE, ddl, foreign_key_ddl, generate, index_ddl, row_counts
from ringfort.errors import CheckFailedError
from ringfort.gateway.supervisor import Supervisor
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.record.client import open_ledger
from ringfort.sites.connect import admin_connection
from ringfort.sites.deployment import Deployment, Plan, as_data_owner, create_database
from ringfort.sites.load import copy_arrow
from ringfort.sites.postgres import EmbeddedServer
from ringfort.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SITE = SiteConfig("dublin-1", "embedded", "IE", (scenario.DATABASE,))
_EPILOG = """\
Examples:

    ringfort demo
    ringfort demo --people 2000 --seed 7
    ringfort demo --keep
"""


def command(
    people: int = typer.Option(20_000, "--people", min=100, max=MAX_PEOPLE, help="How many people to make."),
    seed: int = typer.Option(1, "--seed", min=0, help="The same seed makes the same people."),
    keep: bool = typer.Option(False, "--keep", help="Leave it up until Ctrl-C, and print lines to try."),
    folder: Path | None = typer.Option(
        None, "--folder", metavar="DIR", help="Make the deployment there and leave it; else it is removed."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print what everybody saw as one JSON document."),
) -> None:
    """Make a synthetic population, start everything, and show what each identity can see of it.

    Starts an embedded PostgreSQL, the ledger and the gateway; connects as support in Ireland, an analyst in
    the US, an engineer in China and a stranger; verifies the ledger; stops everything it started.
    """
    console = Console(stderr=as_json, highlight=False)
    begun = time.monotonic()
    with _place(folder) as place:
        passwords = {each.name: secrets.token_urlsafe(9) for each in STAFF}
        ids = _prepare(place, people, seed, passwords)
        supervisor = Supervisor(place, stderr="none")
        logs.configure(supervisor.log_settings("supervisor"))
        finished = False
        with _progress_of(console), supervisor.interruptible():
            supervisor.start()
            host, port = supervisor.address
            gate = scenario.Gate(host, port, passwords)
            dsn = supervisor.sites[SITE.name].admin_dsn(scenario.DATABASE)
            sight = scenario.look(gate, dsn, ids)
            if as_json:
                typer.echo(json.dumps(show.as_json(sight), ensure_ascii=False, indent=1))
            else:
                _show(console, sight)
            with contextlib.redirect_stdout(console.file) if as_json else contextlib.nullcontext():
                _verify(console, place)  # one JSON document on standard output, and nothing else
            console.print(f"\ndone in {time.monotonic() - begun:.0f} seconds")
            if sight.leaks:
                raise CheckFailedError(f"{len(sight.leaks)} attempts were not refused: {sight.leaks[0]}")
            finished = True
            if keep:
                _invite(console, supervisor, passwords)
                supervisor.wait()
        if not finished:
            raise KeyboardInterrupt
        console.print("stopped everything")


command.__doc__ = f"{command.__doc__}\n\n{_EPILOG}"


@contextlib.contextmanager
def _progress_of(console: Console) -> Iterator[None]:
    """Show the supervisor's lines, without their time, while it starts and stops."""
    handler = logging.Handler()
    handler.emit = lambda record: console.print(Text(record.getMessage(), style="dim"))  # type: ignore[method-assign]
    logger = logging.getLogger(Supervisor.__module__)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """Where the deployment is made; a temporary one goes away again."""
    if folder is not None:
        yield folder
        return
    temporary = Path(tempfile.mkdtemp(prefix="ringfort-demo-"))
    place = temporary / "deployment"
    try:
        yield place
    finally:
        with contextlib.suppress(Exception):
            EmbeddedServer.of_site(place, SITE.name).remove()
        shutil.rmtree(temporary, ignore_errors=True)


def _prepare(place: Path, people: int, seed: int, passwords: dict[str, str]) -> list[int]:
    """Make and load the population and register the staff; gives the people to compare."""
    with _progress() as bar:
        tables = generate(people, seed, bar(f"making {people:,} people", sum(row_counts(people).values())))
        deployment = Deployment(place, Plan("Example Video", SITE))
        server = EmbeddedServer.of_site(place, SITE.name)
        try:
            deployment.begin()
            _free_ports(place)
            starting = bar(f"starting PostgreSQL for site {SITE.name}", 1)
            with server:
                starting(1)
                create_database(server, scenario.DATABASE)
                with (
                    admin_connection(server.admin_dsn(scenario.DATABASE)) as connection,
                    as_data_owner(connection),
                ):
                    _load(connection, tables, bar)
                ids = scenario.choose_people(server.admin_dsn(scenario.DATABASE), 2)
            shipped = files("ringfort.demo")
            (deployment.layout.folder / "transfers").mkdir(exist_ok=True)
            example = shipped.joinpath("us-analytics.toml").read_text(encoding="utf-8")
            (deployment.layout.folder / "transfers" / "us-analytics.toml").write_text(
                example, encoding="utf-8"
            )
            deployment.finish(shipped.joinpath("catalog.toml").read_text(encoding="utf-8"))
        except BaseException:
            deployment.abandon(server)
            raise
    now = format_time(SystemClock().now())
    with open_ledger(place) as ledger:
        for each in STAFF:
            entry = PrincipalRegistered(
                time=now,
                actor="operator",
                name=each.name,
                country=each.country,
                employer=each.employer,
                role=each.role,
            )
            register(ledger, place, entry, passwords[each.name])
    return ids


def _free_ports(place: Path) -> None:
    """The demo must not fail because something listens on the usual ports."""
    path = place / "ringfort.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("\nport = 6432 ", "\nport = 0    ").replace("http_port = 6480", "http_port = 0"),
        encoding="utf-8",
    )


def _load(
    connection: psycopg.Connection[Any],
    tables: dict[str, Any],
    bar: Callable[[str, int], Callable[[int], None]],
) -> None:
    for statement in ddl(foreign_keys=False).values():
        connection.execute(statement)
    for name, table in tables.items():
        advance = bar(f"loading {name}", table.num_rows)
        copy_arrow(connection, sql.Identifier("public", name), table, progress=advance)
    finishing = [*foreign_key_ddl(), *index_ddl()]
    advance = bar("adding keys and indexes", len(finishing) + 1)
    for number, statement in enumerate(finishing, start=1):
        connection.execute(statement)
        advance(number)
    connection.execute("ANALYZE")
    advance(len(finishing) + 1)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def add(text: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(text, total=total)
            if not console.is_terminal:
                console.print(text, highlight=False)
            return lambda done: progress.update(task, completed=done)

        yield add


def _show(console: Console, sight: scenario.Sight) -> None:
    console.print()
    for identity in VISITORS:
        purpose = f"purpose {identity.purpose}" if identity.purpose else "no purpose stated"
        console.print(f"{identity.title:22} role {identity.role}, country {identity.country}, {purpose}")
    for number, person in enumerate(sight.people, start=1):
        console.print()
        console.print(show.person_table(person, f"person {number}, the same row of `people` for everybody"))
    console.print("\nwhat the analyst is there for: a join by pseudonym, over everybody", style="italic")
    console.print(show.analysis_table(sight))
    console.print()
    console.print(show.refusal_table(sight))


def _verify(console: Console, place: Path) -> None:
    """Verify the ledger, while the gateway is up."""
    time.sleep(0.3)  # the ends of the last statements are recorded within a tenth of a second
    console.print("\n$ ringfort ledger verify DIR")
    verify_command(str(place))


def _invite(console: Console, supervisor: Supervisor, passwords: dict[str, str]) -> None:
    host, port = supervisor.address
    console.print("\nit is up; try (Ctrl-C stops it):\n")
    for identity in STAFF:
        console.print(
            f"  PGPASSWORD={passwords[identity.name]} psql"
            f' "host={host} port={port} dbname={scenario.DATABASE} user={identity.name}'
            f' options=-cringfort.purpose={identity.purpose}"',
            soft_wrap=True,
            markup=False,
        )
    console.print("\n  SELECT * FROM people LIMIT 3;     as one, then as the others")
    console.print(f"\nledger    {supervisor.ledger_url}")
    console.print(f"folder    {supervisor.folder}", soft_wrap=True)
    for line in ("ringfort ledger show DIR --type SessionOpened", "ringfort policy explain DIR --as dana"):
        console.print(
            f"          {line.replace('DIR', str(supervisor.folder))}", soft_wrap=True, markup=False
        )
