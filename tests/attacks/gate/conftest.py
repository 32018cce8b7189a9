"""Databases for the stands of this folder."""

import os
from itertools import count

import psycopg
import pytest
from psycopg import sql
from tests.attacks.test_wire import make_database

_NUMBERS = count()


def _database(server):
    name = f"gate_{os.getpid()}_{next(_NUMBERS)}"
    yield make_database(server, name)
    with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:  # its roles go with the server
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def database(postgres_server):
    yield from _database(postgres_server)


@pytest.fixture
def another_database(postgres_server):
    """For a stand of a test's own."""
    yield from _database(postgres_server)
