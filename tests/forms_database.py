"""A database with the functions of the forms in it, and nothing else."""

import contextlib

import psycopg

from ringfort.disclosure.forms_sql import create_statements


@contextlib.contextmanager
def with_forms(dsn):
    """A connection to a database in which the functions are made; names are looked up in pg_catalog alone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ringfort")
        connection.execute("SET search_path = pg_catalog")
        for statement in create_statements():
            connection.execute(statement)
        yield connection


@contextlib.contextmanager
def forms_database(server, name):
    """The same in a database of its own, for as long as the block lasts."""
    with psycopg.connect(server.admin_dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        with with_forms(server.admin_dsn(name)) as connection:
            yield connection
        admin.execute(f"DROP DATABASE {name}")
