"""A database for the stands of this folder."""

import os

import pytest
from tests.attacks.test_wire import drop_database, make_database


@pytest.fixture(scope="module")
def database(postgres_server, request):
    name = f"gate_{os.getpid()}_{request.module.__name__.rpartition('.')[2][-20:]}"
    yield make_database(postgres_server, name)
    drop_database(postgres_server, name)
