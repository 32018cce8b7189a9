"""Where rows come from and where a release goes: a real PostgreSQL, a real S3 server, a real Dask cluster."""

import contextlib
import socket
import sys
import urllib.error
import urllib.request

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.s3_server import free_port, running, s3_server
from tests.transfer_deployment import CONTRACT, FILES, NAME, digests, make, shown, to_site

from ringfort.private_files import write_private


def approve(deployed):
    return deployed.approve()


# -- from a site -------------------------------------------------------------------------------------------


@pytest.fixture
def site(fresh_database, tmp_path):
    """A deployment whose rows are in PostgreSQL, the same ones as in its files."""
    return to_site(make(tmp_path / "shop", rows=300), fresh_database)


def rows(folder, table):
    found = pq.read_table(folder / table)
    columns = [
        each.cast(pa.binary(16)) if not pa.types.is_decimal(each.type) and each.type == pa.uuid() else each
        for each in found.columns
    ]
    return sorted(zip(*(each.to_pylist() for each in columns), strict=True), key=repr)


def test_rows_of_a_site_leave_as_those_of_files_do(site, fresh_database):
    files = shown(approve(site).ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    site.write(CONTRACT, (FILES, "")).approve()
    found = shown(site.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert found["rows"] == files["rows"] == 900
    for table in ("customers", "orders"):
        assert rows(site.outbox / found["run"], table) == rows(site.outbox / files["run"], table)
    with psycopg.connect(fresh_database) as connection:
        assert not connection.execute("SELECT FROM pg_roles WHERE rolname ~ '^ringfort_transfer_'").fetchall()
    assert not list((site.folder / "state" / "transfers" / NAME).glob("2*"))


def test_a_column_that_is_another_by_now_stops_the_run(site, fresh_database):
    site.write(CONTRACT, (FILES, "")).approve()
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE customers ALTER COLUMN note TYPE varchar(10)")
        connection.execute("ALTER TABLE customers ALTER COLUMN born TYPE text")
    done = site.ringfort("transfer", "run", "DIR", NAME)
    assert (done.returncode, "no longer what was classified" in done.stderr) == (1, True)
    assert site.state().transfers[NAME].runs[-1].outcome == "drift"
    assert site.releases() == []


def test_row_level_security_fails_the_run_instead_of_leaving_rows_out(site, fresh_database):
    site.write(CONTRACT, (FILES, "")).approve()
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders ENABLE ROW LEVEL SECURITY")
    done = site.ringfort("transfer", "run", "DIR", NAME)
    assert (done.returncode, "(42501)" in done.stderr, "row-level security" in done.stderr) == (1, True, True)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE orders DISABLE ROW LEVEL SECURITY")
    again = shown(site.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert (again["resumed"], again["rows"]) == (True, 900)


# -- to an S3-compatible address ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server in a process of its own, with an empty bucket."""
    with s3_server() as address:
        yield address


def store(address):
    """The store, as anybody with its keys has it."""
    from pyarrow.fs import S3FileSystem

    host = address.removeprefix("http://")
    return S3FileSystem(access_key="access", secret_key="secret", scheme="http", endpoint_override=host)


def test_a_release_to_s3_is_whole_verifies_and_shows_every_change(s3, tmp_path, monkeypatch):
    deployed = make(tmp_path / "shop", rows=300)
    target = f'address = "s3://bucket/out"\nendpoint = "{s3}"'
    deployed.write(CONTRACT, ('address = "outbox"', target)).approve()
    write_private(deployed.folder / "secrets" / f"transfer-{NAME}.s3", b"access\nsecret-of-the-store\n")
    found = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert found["address"].startswith("s3://bucket/out/")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    verify = ("transfer", "verify", found["address"], "--endpoint", s3, "--vkey", deployed.vkey())
    done = deployed.ringfort(*verify)
    assert (done.returncode, "the release verifies" in done.stdout) == (0, True), done.stdout

    prefix = found["address"].removeprefix("s3://bucket/")
    there, prefix = store(s3), f"bucket/{prefix}"
    with there.open_output_stream(f"{prefix}/customers/part-00001.parquet") as file:
        file.write(b"more")
    assert "is not in the manifest" in deployed.ringfort(*verify).stdout
    there.delete_file(f"{prefix}/customers/part-00001.parquet")
    with there.open_output_stream(f"{prefix}/customers/part-00000.parquet") as file:
        file.write(b"other")
    assert deployed.ringfort(*verify).returncode == 1
    there.delete_file(f"{prefix}/manifest.note")
    done = deployed.ringfort(*verify)
    assert (done.returncode, "holds no `manifest.note`" in done.stdout) == (1, True)


def test_a_store_that_does_not_answer_lets_the_run_go_on_later(s3, tmp_path):
    deployed = make(tmp_path / "shop", rows=300)
    write_private(deployed.folder / "secrets" / f"transfer-{NAME}.s3", b"access\nsecret-of-the-store\n")
    target = f'address = "s3://missing-bucket/out"\nendpoint = "{s3}"'
    deployed.write(CONTRACT, ('address = "outbox"', target)).approve()
    done = deployed.ringfort("transfer", "run", "DIR", NAME)
    assert (done.returncode, "secret-of" in done.stderr, "no such bucket" in done.stderr) == (3, False, True)
    urllib.request.urlopen(urllib.request.Request(f"{s3}/missing-bucket", method="PUT"), timeout=10)
    again = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    assert again["resumed"] is True
    assert len(deployed.state().transfers[NAME].runs) == 1


# -- by a Dask cluster -------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_dask_cluster_of_processes_releases_the_same_bytes(tmp_path):
    deployed = make(tmp_path / "shop", rows=150_000).write(
        CONTRACT, ("rows = 10_000_000", "rows = 100_000_000")
    ).approve()  # fmt: skip
    local = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--json", check=True))
    workers = shown(deployed.ringfort("transfer", "run", "DIR", NAME, "--workers", "2", "--json", check=True))
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"

    def listening():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    dask = (sys.executable, "-m", "distributed.cli.dask_scheduler")
    worker = (sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
              "--no-dashboard", "--local-directory", str(tmp_path))  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            running(*dask, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", ready=listening)
        )
        for _ in range(2):
            stack.enter_context(running(*worker, ready=lambda: True))
        options = ("--engine", "dask", "--scheduler", address, "--json")
        cluster = shown(deployed.ringfort("transfer", "run", "DIR", NAME, *options, check=True))
    whole = digests(deployed.outbox / local["run"])
    assert len(whole) >= 2
    assert digests(deployed.outbox / workers["run"]) == whole
    assert digests(deployed.outbox / cluster["run"]) == whole


@pytest.mark.long
def test_a_scheduler_that_is_not_there_is_told(tmp_path):
    deployed = make(tmp_path / "shop", rows=30).approve()
    options = ("--engine", "dask", "--scheduler", f"tcp://127.0.0.1:{free_port()}")
    done = deployed.ringfort("transfer", "run", "DIR", NAME, *options)
    assert (done.returncode, "does not answer" in done.stderr) == (3, True), done.stderr
