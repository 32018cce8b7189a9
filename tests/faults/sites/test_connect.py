"""Administrative connections and what is read of an existing database."""

import asyncio

import psycopg
import pytest
from psycopg import sql

from ringfort.catalog.check import problems
from ringfort.catalog.scan import propose
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import write_private
from ringfort.sites.connect import admin_connection, admin_connection_async, read_dsn, with_database
from ringfort.sites.introspect import FIRST_ROWS, read_tables


def test_a_connection_says_who_it_is(fresh_database):
    with admin_connection(fresh_database, application_name="ringfort test") as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("ringfort test",)
        assert connection.autocommit

    async def same():
        async with await admin_connection_async(fresh_database) as connection:
            row = await (await connection.execute("SHOW application_name")).fetchone()
            assert row == ("ringfort",)

    asyncio.run(same())


def test_a_refused_connection_names_the_place_not_the_password(fresh_database):
    wrong = psycopg.conninfo.make_conninfo(fresh_database, password="hunter2-secret")
    for connect in (admin_connection, lambda dsn: asyncio.run(admin_connection_async(dsn))):
        with pytest.raises(MissingEnvironmentError) as caught:
            connect(wrong)
        assert "postgres@127.0.0.1" in caught.value.message
        assert "hunter2-secret" not in caught.value.message + caught.value.hint
        assert caught.value.hint == "check user and password"
    with pytest.raises(MissingEnvironmentError, match="does not exist"):
        admin_connection(with_database(fresh_database, "no_such_database"))
    with pytest.raises(MissingEnvironmentError) as caught:
        admin_connection("host=127.0.0.1 port=1 user=a dbname=b password=hunter2-secret")
    assert "hunter2-secret" not in caught.value.message
    with pytest.raises(UsageError, match="no PostgreSQL connection string"):
        admin_connection("postgresql://[::1/x")


def test_a_dsn_is_kept_in_a_file(fresh_database, tmp_path):
    write_private(tmp_path / "site-a.dsn", fresh_database.encode() + b"\n")
    assert read_dsn(tmp_path / "site-a.dsn") == fresh_database
    with admin_connection(read_dsn(tmp_path / "site-a.dsn", "postgres")) as connection:
        assert connection.info.dbname == "postgres"


def test_tables_keys_and_values_are_read_of_any_database(fresh_database):
    with admin_connection(fresh_database) as connection:
        connection.execute("""
            CREATE SCHEMA crm;
            CREATE TYPE mood AS ENUM ('glad', 'sad');
            CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
            CREATE TABLE "Kunden" ("Nr" int PRIMARY KEY, mail mail, "Straße" varchar(80), mood mood,
                                   photo bytea, born date, tags text[], extra jsonb, dropped int, huge text);
            ALTER TABLE "Kunden" DROP COLUMN dropped;
            CREATE TABLE crm.visit (kunde int REFERENCES "Kunden" ON DELETE CASCADE, at timestamptz,
                                    n int UNIQUE, PRIMARY KEY (kunde, at));
            CREATE TABLE crm."Kunden" (a int);
            CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
            CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
            CREATE TABLE empty ();
            CREATE VIEW looked AS SELECT * FROM "Kunden";
            CREATE MATERIALIZED VIEW made AS SELECT 1 AS one;
            CREATE SCHEMA ringfort; CREATE TABLE ringfort.own (a int);
            CREATE SCHEMA rf_0123456789abcdef01234567; CREATE TABLE rf_0123456789abcdef01234567.own (a int);
            INSERT INTO "Kunden"
                VALUES (1, 'a@b.ie', 'Weg 1', 'glad', '\\x00', '1980-01-02', '{a}', '{}', repeat('x', 9999));
            INSERT INTO crm.visit VALUES (1, '2024-05-06 07:08:09+02', 1);
            INSERT INTO parts VALUES (1, '2024-05-06');
            ANALYZE""")
        done = []
        tables = {
            (each.schema, each.name): each
            for each in read_tables(connection, progress=lambda *step: done.append(step))
        }
        assert list(tables) == [
            ("crm", "Kunden"), ("crm", "visit"),
            ("public", "Kunden"), ("public", "empty"), ("public", "made"), ("public", "parts"),
        ]  # fmt: skip
        assert done[-1] == (6, 6)
        kunden = tables["public", "Kunden"]
        assert kunden.primary_key == ("Nr",)
        columns = {each.name: each for each in kunden.columns}
        assert columns["Straße"].data_type == "character varying(80)"
        assert columns["Straße"].base_type == "character varying"
        assert columns["born"].values.to_pylist() == ["1980-01-02"]
        assert columns["photo"].values.to_pylist() == [None]
        assert len(columns["huge"].values[0].as_py()) == 500
        assert not columns["Nr"].nullable
        visit = {each.name: each for each in tables["crm", "visit"].columns}
        assert visit["kunde"].references == ("public", "Kunden", "Nr")
        assert visit["at"].values.to_pylist() == ["2024-05-06 05:08:09+00"]
        assert tables["crm", "visit"].primary_key == ("kunde", "at")
        assert tables["crm", "visit"].unique == (("n",),)
        assert tables["public", "parts"].columns[0].values.to_pylist() == ["1"]

        catalogue = propose(list(tables.values()), dataset="kunden", database="db")
        assert problems(catalogue) == []
        main, other = catalogue.datasets
        assert main.subject == "Kunden.Nr"
        assert main.table("visit").subject_path == "kunde -> Kunden.Nr"
        assert main.table("Kunden").column("mail").kind == "email"
        assert (other.name, other.table("Kunden").schema) == ("kunden_crm", "crm")


def test_a_table_that_may_not_be_read_is_known_by_its_names(fresh_database):
    with admin_connection(fresh_database) as connection:
        connection.execute("CREATE TABLE closed (email text); INSERT INTO closed VALUES ('a@b.ie')")
        connection.execute("CREATE ROLE looker")
        connection.execute("SET ROLE looker")
        (table,) = read_tables(connection)
        assert table.columns[0].name == "email"
        assert len(table.columns[0].values) == 0


def test_a_big_table_is_sampled(fresh_database):
    with admin_connection(fresh_database) as connection:
        connection.execute("CREATE TABLE big AS SELECT n, 'x' || n AS t FROM generate_series(1, 200000) n")
        connection.execute("ANALYZE big")
        (table,) = read_tables(connection)
        sampled = [int(each) for each in table.columns[0].values.to_pylist()]
        assert 10_000 < len(sampled) < 40_000
        assert max(sampled) > 150_000
        assert table.columns[0].distinct == pytest.approx(200_000, rel=0.1)
        assert table.columns[0].nulls == 0.0


_WORDS = (
    "SELECT n AS id, 'N' || md5(n::text) AS alias, repeat('x', 150) AS rest FROM generate_series(1, 300000) n"
)
_PARTS = """
CREATE TABLE big (id int, alias text, rest text) PARTITION BY RANGE (id);
CREATE TABLE big_1 PARTITION OF big FOR VALUES FROM (0) TO (150000);
CREATE TABLE big_2 PARTITION OF big FOR VALUES FROM (150000) TO (1000000) PARTITION BY RANGE (id);
CREATE TABLE big_3 PARTITION OF big_2 FOR VALUES FROM (150000) TO (1000000);
INSERT INTO big """


@pytest.mark.parametrize(
    "made",
    [
        f"CREATE TABLE big AS {_WORDS}",
        f"CREATE MATERIALIZED VIEW big AS {_WORDS}",
        _PARTS + _WORDS,
        f"CREATE TABLE big (id int, alias text, rest text); ANALYZE big; INSERT INTO big {_WORDS}",
        f"CREATE TABLE big AS {_WORDS}; DELETE FROM big WHERE id % 300 <> 0",
        f"CREATE TABLE big AS {_WORDS}; DELETE FROM big WHERE id < 299000; VACUUM (TRUNCATE off) big",
    ],
    ids=["never analysed", "materialized view", "partitions", "analysed empty", "thinned", "emptied"],
)
def test_a_big_table_without_statistics_is_sampled_by_its_blocks(fresh_database, made):
    with admin_connection(fresh_database) as connection:
        connection.execute("SET client_min_messages = error")
        for statement in made.split(";"):
            connection.execute(statement)
        (table,) = read_tables(connection)
        ids = [int(each) for each in table.columns[0].values.to_pylist()]
        assert 20 < len(ids) < 30_000, "neither nothing nor all of it"
        assert max(ids) > 250_000
        assert len(ids) == len(set(ids))
        (proposed,) = propose([table], dataset="d", database="d").datasets[0].tables
        assert proposed.column("alias").protection is None, "as many names as rows are no category"


def test_a_foreign_table_gives_its_first_rows_and_a_locked_one_its_names(fresh_database, monkeypatch):
    monkeypatch.setattr("ringfort.sites.introspect.STATEMENT_SECONDS", 5)
    with admin_connection(fresh_database) as connection, admin_connection(fresh_database) as other:
        ((folder,),) = connection.execute("SELECT current_setting('data_directory')")
        path = sql.Literal(f"{folder}/rows-{connection.info.backend_pid}.csv")
        rows = "SELECT n, 'N' || n FROM generate_series(1, 60000) n"
        connection.execute(sql.SQL("COPY ({}) TO {} (FORMAT csv)").format(sql.SQL(rows), path))
        connection.execute("CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
        connection.execute("CREATE TABLE parted (id int, alias text) PARTITION BY RANGE (id)")
        for head in (
            "CREATE FOREIGN TABLE far (id int, alias text)",
            "CREATE FOREIGN TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100000)",
        ):
            options = sql.SQL("SERVER files OPTIONS (filename {}, format 'csv')").format(path)
            connection.execute(sql.SQL("{} {}").format(sql.SQL(head), options))
        connection.execute("CREATE TABLE locked (email text); INSERT INTO locked VALUES ('a@b.ie')")
        with other.transaction():
            other.execute("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
            tables = {each.name: each for each in read_tables(connection)}
    assert len(tables["far"].columns[0].values) == FIRST_ROWS
    assert len(tables["parted"].columns[0].values) == FIRST_ROWS
    assert len(tables["locked"].columns[0].values) == 0
