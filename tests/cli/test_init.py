"""`ringfort init` as a person runs it: files, databases, mistakes, and being cut off half-way."""

import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql

from ringfort.catalog.load import load_catalogue
from ringfort.catalog.zones import load_zones
from ringfort.cli.application import run
from ringfort.config import load_config
from ringfort.paths import LOCATION, Layout
from ringfort.private_files import FileKeyStore
from ringfort.sites.connect import read_dsn
from ringfort.sites.custody import Custody, CustodySettings
from ringfort.sites.deployment import UNFINISHED
from ringfort.sites.postgres import EmbeddedServer

CSV = """\
id,email,born,country
1,a@example.ie,1980-02-29,Éire
2,b@example.de,1999-12-31,Deutschland
3,,,Unspecified
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def ringfort(*arguments):
    """Run the command in this process."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run([str(each) for each in arguments])
    return Done(code, out.getvalue(), errors.getvalue())


def start(*arguments, **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "ringfort.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **options)


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory, retail_parquet):
    folder = tmp_path_factory.mktemp("init") / "shop"
    done = ringfort("init", folder, "--from", retail_parquet, "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_real_data_set_is_loaded_and_described(shop):
    _, told = shop
    assert told["rows"] == 541_909
    assert told["databases"] == ["online_retail"]
    assert told["subjects"] == {"online_retail": "online_retail.CustomerID"}
    found = {
        each["column"]: (each["protection"], each["identifiability"], each["kind"])
        for each in told["columns"]
    }
    assert found == {
        "Description": ("protected", "none", "category"),
        "Quantity": ("protected", "none", "number"),
        "InvoiceDate": ("protected", "quasi", "timestamp"),
        "UnitPrice": ("protected", "none", "amount"),
        "CustomerID": ("interoperable", "direct", "key"),
        "Country": ("interoperable", "quasi", "country"),
    }
    unsure = {each["column"]: each["unsure"] for each in told["columns"] if each["unsure"]}
    assert set(unsure) == {"Description", "CustomerID"}
    empty = re.search(r"empty in (\d+) % of the rows", unsure["CustomerID"])
    assert empty
    assert 22 <= int(empty[1]) <= 28  # 24.9 % of all rows; a sample of blocks is read


def test_everything_that_a_deployment_needs_is_there(shop):
    folder, _ = shop
    config = load_config(folder)
    assert config.organisation == "shop"
    assert (config.gateway.port, config.ledger.http_port) == (6432, 6480)
    (site,) = config.sites
    assert (site.name, site.kind, site.country, site.databases) == (
        "site-1",
        "embedded",
        "IE",
        ("online_retail",),
    )
    assert config.ledger.origin.startswith("shop.example/ringfort-")
    zones = load_zones(folder / "zones.toml")
    assert zones.country_of("127.0.0.1") == zones.country_of("::1") == "IE"
    catalogue = load_catalogue(folder / "catalog.toml")
    assert catalogue.dataset("online_retail").database == "online_retail"
    assert {each.suffix for each in (folder / "policy").iterdir()} == {".cedar", ".cedarschema", ".toml"}
    assert not (folder / UNFINISHED).exists()
    checked = ringfort("policy", "check", folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_secrets_are_keys_that_nobody_else_can_read(shop):
    folder, _ = shop
    store = FileKeyStore(folder / "secrets")
    keys = [store.get(name) for name in ("kek.key", "ledger.key", "evidence.key", "scram-mock.key")]
    assert all(len(base64.b64decode(key.strip(), validate=True)) == 32 for key in keys)
    assert len(set(keys)) == 4
    custody = Custody(CustodySettings.of(load_config(folder)))
    assert [(each.name, each.kek) for each in custody.status()] == [("root.key", custody.current.id)]
    assert len(custody.get("root.key")) == 32
    for path in [folder / "secrets", *(folder / "secrets").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o700


def test_the_database_is_closed_to_everybody_who_is_not_let_in(shop):
    folder, _ = shop
    with EmbeddedServer.of_site(folder, "site-1") as server:
        with psycopg.connect(server.admin_dsn("online_retail"), autocommit=True) as connection:
            (rows,) = connection.execute("SELECT count(*) FROM online_retail").fetchone()
            assert rows == 541_909
            connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
            for database in ("online_retail", "postgres", "template1"):
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    psycopg.connect(server.admin_dsn(database), user="stranger", password="x")
            connection.execute("DROP ROLE stranger")
            # an operate session acts as the owner of the tables: that must be all that the owner is
            owner = connection.execute(
                "SELECT r.rolname, r.rolsuper OR r.rolcanlogin OR r.rolcreaterole OR r.rolbypassrls "
                "FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner WHERE relname = 'online_retail'"
            ).fetchone()
            assert owner == ("ringfort_data", False)
        assert read_dsn(folder / "secrets" / "site-site-1.dsn") == server.admin_dsn()


def test_a_deployment_that_is_there_is_refused_and_left_alone(shop, people):
    folder, _ = shop
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    again = ringfort("init", folder, "--from", people)
    assert again.returncode == 2
    assert "holds a deployment already" in again.stderr
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    assert load_catalogue(folder / "catalog.toml").dataset("online_retail")


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path, people):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    done = ringfort("init", folder, "--from", people)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [each.name for each in folder.iterdir()] == ["thesis.txt"]


def test_csv_subject_and_country_by_name(tmp_path, people):
    folder = tmp_path / "d"
    done = ringfort(
        "init", folder, "--from", people, "--subject", "ID", "--country", "country", "--site", "cork-1",
        "--site-country", "DE", "--name", "crm", "--organisation", 'The "Quoted" \\ Company',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "email" in done.stdout
    assert "note: the types are inferred: `id` bigint" in done.stdout
    assert "ringfort up" in done.stdout
    config = load_config(folder)
    assert config.organisation == 'The "Quoted" \\ Company'
    assert config.sites[0].databases == ("crm",)
    dataset = load_catalogue(folder / "catalog.toml").dataset("crm")
    assert dataset.subject == "people.id"
    kinds = {each.name: each.kind for each in dataset.table("people").columns}
    assert kinds == {"id": "key", "email": "email", "born": "birth_date", "country": "country"}
    assert load_zones(folder / "zones.toml").country_of("127.0.0.1") == "DE"


def test_without_a_file_the_site_is_empty(tmp_path):
    done = ringfort("init", tmp_path / "d")
    assert done.returncode == 0, done.stderr
    assert load_config(tmp_path / "d").sites[0].databases == ("main",)
    assert load_catalogue(tmp_path / "d" / "catalog.toml").dataset("main").tables == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "no.parquet"], "there is no file"),
        (["--from", "people.csv", "--subject", "nobody"], "names no column"),
        (["--from", "people.csv", "--country", "nowhere"], "names no column"),
        (["--subject", "id"], "which is missing"),
        (["--site", "Dublin 1"], "is not valid"),
        (["--site-country", "Ireland"], "no country code"),
        (["--from", "people.csv", "--name", "postgres"], "cannot be called `postgres`"),
        (["--from", "postgresql://a@[::1/b"], "no PostgreSQL connection string"),
    ],
)
def test_mistakes_are_told_and_leave_nothing_behind(tmp_path, people, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    done = ringfort("init", "d", *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "hint:" in done.stderr or "no file" in done.stderr
    assert "Traceback" not in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["people.csv"]


def test_data_that_cannot_be_loaded_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text('a,b\n1,"x\0y"\n')
    done = ringfort("init", "d", "--from", "bad.csv")
    assert done.returncode == 1
    assert "column `b` holds NUL bytes in 1 rows" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["bad.csv"]


def test_no_binaries_is_exit_code_3(tmp_path, people, monkeypatch):
    monkeypatch.setenv("RINGFORT_PG_BINDIR", "/nowhere")
    done = ringfort("init", tmp_path / "d", "--from", people)
    assert done.returncode == 3
    assert "RINGFORT_PG_BINDIR" in done.stderr
    assert not (tmp_path / "d").exists()


def test_killed_half_way_it_finishes_on_the_next_try(tmp_path, people):
    folder = tmp_path / "d"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = start("init", folder, "--from", people, **quiet)
    dsn = Layout(folder).site_dsn("site-1")
    deadline = time.monotonic() + 200
    while not dsn.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert (folder / UNFINISHED).exists()
    key = (folder / "secrets" / "ledger.key").read_bytes()
    second = ringfort("init", folder, "--from", people)
    assert second.returncode == 0, second.stderr
    assert not (folder / UNFINISHED).exists()
    assert (folder / "secrets" / "ledger.key").read_bytes() == key
    with (
        EmbeddedServer.of_site(folder, "site-1") as server,
        psycopg.connect(server.admin_dsn("people")) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (3,)


def test_interrupted_it_cleans_up(tmp_path, people):
    folder = tmp_path / "d"
    running = start("init", folder, "--from", people, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    place = folder / "state" / "sites" / "site-1"
    deadline = time.monotonic() + 200
    while not place.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    if running.returncode == 0:
        pytest.skip("it was quicker than the signal")
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert not folder.exists()


def test_an_existing_database_is_looked_at_and_left_as_it_is(tmp_path, fresh_database, monkeypatch):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE customers (id bigint PRIMARY KEY, email text, note text)")
        connection.execute(
            "CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers)"
        )
        connection.execute("INSERT INTO customers VALUES (1, 'a@example.ie', 'x'), (2, 'b@example.ie', 'y')")
        before = connection.execute("SELECT count(*) FROM pg_class").fetchone()
    parts = psycopg.conninfo.conninfo_to_dict(fresh_database)
    url = (
        f"postgresql://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
        f"?sslmode=verify-full&sslrootcert={parts['sslrootcert']}"
    )
    monkeypatch.setenv("PGPASSWORD", parts["password"])
    done = ringfort("init", tmp_path / "d", "--from", url)
    monkeypatch.delenv("PGPASSWORD")
    assert done.returncode == 0, done.stderr
    assert parts["password"] not in done.stdout + done.stderr
    assert "ringfort_views" in done.stdout
    folder = tmp_path / "d"
    assert load_config(folder).sites[0].kind == "external"
    dsn = folder / "secrets" / "site-site-1.dsn"
    assert stat.S_IMODE(dsn.stat().st_mode) == 0o600
    assert not any(parts["password"] in path.read_text(errors="replace") for path in folder.glob("*.toml"))
    with psycopg.connect(read_dsn(dsn)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class").fetchone() == before
    (dataset,) = load_catalogue(folder / "catalog.toml").datasets
    assert dataset.subject == "customers.id"
    assert dataset.table("orders").subject_path == "customer_id -> customers.id"
    assert not (folder / "state" / "sites").exists()


def test_partitions_are_covered_by_their_table_and_init_says_so(tmp_path, fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE visits (id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)"
        )
        for year in (2024, 2025):
            connection.execute(
                f"CREATE TABLE visits_{year} PARTITION OF visits "
                f"FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
            )
    done = ringfort("init", tmp_path / "d", "--from", fresh_database, "--name", "d")
    assert done.returncode == 0, done.stderr
    assert "2 partitions are read through the partitioned tables" in done.stdout + done.stderr
    (dataset,) = load_catalogue(tmp_path / "d" / "catalog.toml").datasets
    assert [each.name for each in dataset.tables] == ["visits"]


def test_an_existing_database_that_cannot_be_a_site_is_refused(tmp_path, fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE ROLE nobody_much LOGIN PASSWORD 'secret-word'")
    parts = psycopg.conninfo.conninfo_to_dict(fresh_database)
    url = f"postgresql://{{}}:{{}}@{parts['host']}:{parts['port']}/{parts['dbname']}?sslmode=require"
    for user, password, words in (
        ("nobody_much", "secret-word", "may not create roles"),
        ("nobody_much", "wrong-word", "password authentication failed"),
        ("postgres", "wrong-word", "password authentication failed"),
    ):
        done = ringfort("init", tmp_path / "d", "--from", url.format(user, password))
        assert done.returncode == 3
        assert words in done.stderr
        assert password not in done.stderr
        assert not (tmp_path / "d").exists()
    gone = ringfort("init", tmp_path / "d", "--from", "postgresql://a:b@127.0.0.1:1/c")
    assert gone.returncode == 3
    assert "cannot connect to `a@127.0.0.1:1/c`" in gone.stderr


def test_a_connection_string_of_pairs_is_no_file_name(tmp_path):
    pairs = "user=a password=secret-word host=127.0.0.1 port=1 dbname=c"
    done = ringfort("init", tmp_path / "d", "--from", pairs)
    assert done.returncode == 3
    assert "cannot connect to `a@127.0.0.1:1/c`" in done.stderr
    assert "secret-word" not in done.stdout + done.stderr


def test_a_role_that_may_create_but_not_grant_is_warned(tmp_path, fresh_database):
    parts = psycopg.conninfo.conninfo_to_dict(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (email text)")
        connection.execute("CREATE ROLE keeper LOGIN CREATEROLE PASSWORD 'w'")
        connection.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO keeper").format(sql.Identifier(parts["dbname"]))
        )
    url = f"postgresql://keeper:w@{parts['host']}:{parts['port']}/{parts['dbname']}?sslmode=require"
    done = ringfort("init", tmp_path / "d", "--from", url)
    assert done.returncode == 0, done.stderr
    assert "1 tables cannot be shown to anybody" in done.stdout
    column = load_catalogue(tmp_path / "d" / "catalog.toml").datasets[0].table("theirs").column("email")
    assert (column.kind, column.unsure) == ("email", "by its name only: no value was seen")


def test_what_a_removed_deployment_leaves_is_told(tmp_path, people):
    if os.geteuid() != 0:
        pytest.skip("only as root do the server's files lie elsewhere")
    assert ringfort("init", tmp_path / "old", "--from", people).returncode == 0
    place = json.loads((tmp_path / "old" / "state" / "sites" / "site-1" / LOCATION).read_text())["folder"]
    shutil.rmtree(tmp_path / "old")
    done = ringfort("init", tmp_path / "old", "--from", people)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(place)
    assert f"`{place}` holds the database of" in done.stdout
