"""Fixtures that several test packages need: the real data set, and a real database server."""

import os
import shutil
import tempfile
import uuid
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from tests.live_deployment import live, own_live  # noqa: F401 - fixtures

from ringfort.sites.postgres import EmbeddedServer

REPOSITORY = Path(__file__).parent.parent

# Tests never assert a time, and machines are shared. In CI examples are the same at each run: what it says is
# about the commit, not about the dice; those are thrown at every run by hand.
settings.register_profile("ringfort", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("ringfort"), derandomize=True)
settings.load_profile(os.environ.get("RINGFORT_TEST_PROFILE", "ringfort"))


def pytest_configure(config):
    """As root the server's files lie in a folder that its account can enter; here in one that goes away."""
    folder = Path(tempfile.mkdtemp(prefix="ringfort-test-"))
    folder.chmod(0o711)
    config.stash[_FOLDER] = folder
    os.environ["RINGFORT_SERVER_STATE"] = str(folder)


def pytest_unconfigure(config):
    folder = config.stash.get(_FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


_FOLDER = pytest.StashKey()


@pytest.fixture(scope="session")
def retail_parquet():
    """The UCI "Online Retail" data set; RINGFORT_TEST_DATA names the folder that holds it."""
    folder = Path(os.environ.get("RINGFORT_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    path = folder / "online_retail.parquet"
    if not path.is_file():
        pytest.skip("online_retail.parquet is missing: set RINGFORT_TEST_DATA to the folder that holds it")
    return path


@pytest.fixture(scope="session")
def server_folder():
    """A new folder that the server's account can enter; `tmp_path` is closed to it when tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="ringfort-server-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server(server_folder):
    """A running embedded server, one for each test process; not durable, so that it is quick."""
    with EmbeddedServer(server_folder / "site", durable=False) as server:
        yield server


@pytest.fixture
def fresh_database(postgres_server):
    """The superuser's DSN of a new, empty database; the database and every role made since go afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as connection:
        roles = _roles(connection)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield postgres_server.admin_dsn(name)
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        for role in _roles(connection) - roles:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def _roles(connection):
    return {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
