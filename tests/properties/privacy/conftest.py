"""The database that the tests of forms on columns compare with."""

import pytest
from tests.forms_database import forms_database


@pytest.fixture(scope="module")
def database(postgres_server):
    with forms_database(postgres_server, "forms_columns") as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection
