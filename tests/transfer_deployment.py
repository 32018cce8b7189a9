"""A deployment whose data are Parquet files, no database, and a contract that may run."""

import contextlib
import hashlib
import io
import json
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ringfort.cli.principal import register
from ringfort.config import SiteConfig, load_config
from ringfort.gateway.activation import activate
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.private_files import write_private
from ringfort.record.client import open_ledger
from ringfort.sites.connect import admin_connection
from ringfort.sites.deployment import Deployment, Plan
from ringfort.sites.load import copy_arrow
from ringfort.transfer.desk import TransferDesk, read_contract

NAME = "us-analytics"
ENTITY = "Acme Analytics Inc"
PASSWORD = "correct horse battery"
COMMAND = [sys.executable, "-m", "ringfort.cli.main"]
PEOPLE = (
    ("acme", "US", ENTITY, "analyst"),
    ("olga", "IE", "Example", "operator"),
    ("ronan", "IE", "Example", "approver"),
    ("far", "CN", "Far Ltd", "analyst"),
)
CATALOGUE = """\
[dataset.shop]
database = "shop"
subject = "customers.id"

[dataset.shop.table.customers]
schema = "public"
primary_key = ["id"]
[dataset.shop.table.customers.column]
id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }
email = { type = "text", protection = "restricted", identifiability = "direct", kind = "email" }
name = { type = "text", protection = "protected", identifiability = "direct", kind = "name" }
phone = { type = "text", protection = "protected", identifiability = "direct", kind = "phone" }
born = { type = "date", protection = "protected", identifiability = "quasi", kind = "birth_date" }
country = { type = "text", protection = "interoperable", identifiability = "quasi", kind = "country" }
note = { type = "text", protection = "protected", identifiability = "none", kind = "category" }

[dataset.shop.table.orders]
schema = "public"
primary_key = ["id"]
subject_path = "customer_id -> customers.id"
[dataset.shop.table.orders.column]
id = { type = "bigint", protection = "interoperable", identifiability = "none", kind = "number" }
amount = { type = "numeric(12,2)", protection = "protected", identifiability = "none", kind = "amount" }
[dataset.shop.table.orders.column.at]
type = "timestamp without time zone"
protection = "protected"
identifiability = "quasi"
kind = "timestamp"
[dataset.shop.table.orders.column.customer_id]
type = "bigint"
protection = "interoperable"
identifiability = "direct"
kind = "key"
references = "customers.id"
"""
CONTRACT = f"""\
dataset = "shop"
purpose = "product-analytics"
owner = "olga"
approver = "ronan"
schedule = "on-demand"
retention = "90d"

[recipient]
principal = "acme"
entity = "{ENTITY}"
country = "US"

[legal]
mechanism = "standard-contractual-clauses"
assessment = "TIA-2026-014"

[volume]
rows = 10_000_000
per = "year"

[target]
address = "outbox"

[source]
country = "IE"
files = {{ customers = "data/customers", orders = "data/orders.parquet" }}

[table.customers.column]
id = "pseudonym"
name = "pseudonym"
born = "generalised"
country = "generalised"
note = "raw"

[table.orders.column]
customer_id = "pseudonym"
amount = "raw"
at = "generalised"
"""
FILES = CONTRACT[CONTRACT.index("[source]") : CONTRACT.index("[table.customers.column]")]
"""Where the rows are, if not in a site."""


@dataclass
class Deployed:
    """The deployment and its folder."""

    folder: Path

    @property
    def config(self):
        return load_config(self.folder)

    @property
    def contract_path(self):
        return self.folder / "transfers" / f"{NAME}.toml"

    def write(self, text=CONTRACT, *changes):
        """Write the contract; each change (old, new) must apply."""
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.contract_path.write_text(text, encoding="utf-8")
        return self

    def approve(self, who="ronan", now=lambda: datetime.now(UTC)):
        with open_ledger(self.folder) as ledger:
            TransferDesk(self.config, ledger, read_contract(self.folder, NAME), now).approve(who)
        return self

    def leave(self, kind):
        """olga's request to do what cannot be undone, approved by ronan: the rest of a command line."""
        line = ("request", "DIR", "--as", "olga", "--password-stdin", f"--{kind}", "--ticket", "T-1")
        asked = shown(self.ringfort(*line, "--for", "10m", "--json", stdin=f"{PASSWORD}\n", check=True))
        line = ("approve", "DIR", asked["grant"], "--as", "ronan", "--password-stdin")
        self.ringfort(*line, stdin=f"{PASSWORD}\n", check=True)
        return ("--as", "olga", "--password-stdin", "--grant", asked["grant"])

    def state(self):
        with open_ledger(self.folder) as ledger:
            return ledger.state.copy()

    def blob(self, digest):
        with open_ledger(self.folder) as ledger:
            return ledger.get_blob(digest)

    @property
    def outbox(self):
        return self.folder / "outbox"

    def releases(self):
        """The folders of runs at the target, without copies under hidden names."""
        return sorted(each for each in self.outbox.glob("[!.]*")) if self.outbox.exists() else []

    def ringfort(self, *arguments, stdin="", check=False):
        """Run a command in this process, as its entry point does; `DIR` stands for the folder."""
        from ringfort.cli.application import run

        given = [str(self.folder) if each == "DIR" else each for each in arguments]
        out, err, old = io.StringIO(), io.StringIO(), sys.stdin
        sys.stdin = io.StringIO(stdin)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run(given)
        finally:
            sys.stdin = old
        done = subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())
        assert not check or code == 0, done.stderr
        return done

    def vkey(self):
        return self.state().vkey


def make(folder, rows=3_000):
    """A new deployment with so many customers and twice as many orders."""
    site = SiteConfig("dublin-1", "embedded", "IE", ("shop",))
    deployment = Deployment(folder, Plan("Example", site))
    deployment.begin()
    deployment.finish(CATALOGUE)
    (folder / "transfers").mkdir()
    _data(folder / "data", rows)
    deployed = Deployed(folder).write()
    now = format_time(datetime.now(UTC))
    with open_ledger(folder) as ledger:
        activate(deployed.config, ledger)
        for name, country, employer, role in PEOPLE:
            entry = PrincipalRegistered(
                time=now, actor="operator", name=name, country=country, employer=employer, role=role
            )
            register(ledger, folder, entry, PASSWORD)
    return deployed


def to_site(deployed, dsn):
    """The deployment with its rows in this database too, as those of an external site."""
    path = deployed.folder / "ringfort.toml"
    name = conninfo_to_dict(dsn)["dbname"]
    place = f'[site.dublin-1]\nkind = "external"\ncountry = "IE"\ndatabases = ["{name}"]\n'
    path.write_text(re.sub(r"\[site\.dublin-1\].*", place, path.read_text(), flags=re.DOTALL))
    write_private(deployed.folder / "secrets" / "site-dublin-1.dsn", dsn.encode())
    with admin_connection(dsn) as connection:
        connection.execute(
            "CREATE TABLE customers (id bigint PRIMARY KEY, email text, name text, phone text, born date,"
            " country text, note text)"
        )
        connection.execute(
            "CREATE TABLE orders (id bigint, customer_id bigint, amount numeric(12,2), at timestamp)"
        )
        for table in ("customers", "orders"):
            source = deployed.folder / "data" / (table if table == "customers" else "orders.parquet")
            copy_arrow(connection, sql.Identifier("public", table), pq.read_table(source))
    # what `dsn` names is a database of another name: the catalogue's is `shop`
    catalogue = deployed.folder / "catalog.toml"
    catalogue.write_text(catalogue.read_text().replace('database = "shop"', f'database = "{name}"'))
    deployed.ringfort("policy", "apply", "DIR", check=True)
    return deployed


def _data(folder, rows):
    draw = random.Random(7)
    folder.mkdir()
    (folder / "customers").mkdir()
    ids = list(range(1, rows + 1))
    customers = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "email": [f"person{each}@example.org" for each in ids],
            "name": [f"Person {chr(65 + each % 26)} {each}" for each in ids],
            "phone": [f"+353 86 {draw.randrange(10**6, 10**7)}" for _ in ids],
            "born": [date(1940, 1, 1) + timedelta(draw.randrange(25_000)) for _ in ids],
            "country": [draw.choice(["IE", "FR", "US", None]) for _ in ids],
            "note": [draw.choice(["gold", "silver", "bronze"]) for _ in ids],
        }
    )
    half = rows // 3
    pq.write_table(customers.slice(0, half), folder / "customers" / "a.parquet")
    pq.write_table(customers.slice(half), folder / "customers" / "b.parquet", row_group_size=700)
    orders = pa.table(
        {
            "id": pa.array(range(2 * rows), pa.int64()),
            "customer_id": pa.array([draw.choice(ids) for _ in range(2 * rows)], pa.int64()),
            "amount": pa.array(
                [Decimal(draw.randrange(1, 10**8)).scaleb(-2) for _ in range(2 * rows)], pa.decimal128(12, 2)
            ),
            "at": [datetime(2026, 1, 1) + timedelta(seconds=draw.randrange(10**7)) for _ in range(2 * rows)],  # noqa: DTZ001
        }
    )
    pq.write_table(orders, folder / "orders.parquet")


def digests(folder):
    """Path -> SHA-256 of every file below a folder but manifest and proof."""
    return {
        str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.rglob("*"))
        if each.is_file() and not each.name.startswith("manifest.")
    }


def shown(done):
    """The JSON document that a command printed."""
    return json.loads(done.stdout)
