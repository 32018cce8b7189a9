"""psycopg 3 in all its ways of asking."""

import asyncio
import contextlib
import threading
import uuid
from datetime import date, timedelta
from decimal import Decimal
from ipaddress import IPv6Address

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.live_deployment import ANALYST, MARKERS, SUPPORT, wait_for

LABELS = [(f"shelf {number}",) for number in range(8)]
ORDERED = "SELECT label FROM vault ORDER BY label"


@pytest.fixture
def analyst(live):
    with live.connect(ANALYST) as connection:
        yield connection


@pytest.fixture
def support(live):
    with live.connect(SUPPORT) as connection:
        yield connection


def test_a_connection_is_told_what_it_needs(analyst):
    info = analyst.info
    assert info.server_version >= 140000
    assert info.parameter_status("client_encoding") == "UTF8"
    assert info.parameter_status("standard_conforming_strings") == "on"
    assert info.parameter_status("integer_datetimes") == "on"
    assert info.parameter_status("session_authorization") == "dana"
    assert info.backend_pid > 0


@pytest.mark.parametrize("binary", [False, True])
def test_every_type_comes_as_it_was_put_in(support, binary):
    columns = (
        "h_text, h_bigint, h_numeric, h_float, h_date, h_moment, h_uuid, h_inet, h_json, h_bytes, h_array"
    )
    rows = support.execute(f"SELECT {columns} FROM vault ORDER BY id", binary=binary).fetchall()
    for number, row in enumerate(rows):
        expected = [MARKERS[name][number] for name in columns.split(", ")]
        assert row[:2] == tuple(expected[:2])
        assert row[2] == Decimal(expected[2])
        assert row[3:7] == tuple(expected[3:7])
        assert row[7] == IPv6Address(expected[7])
        assert row[9:] == tuple(expected[9:])


def test_parameters_travel_both_ways(support):
    marker = MARKERS["h_date"][3]
    row = support.execute(
        "SELECT id, h_date, %s::text, %s::int[], %s::jsonb FROM vault WHERE h_date = %s",
        ["caf\u00e9 \U0001f600", [1, None, 3], '{"a": [1]}', marker],
    ).fetchone()
    assert row == (4, marker, "caf\u00e9 \U0001f600", [1, None, 3], {"a": [1]})
    assert support.execute("SELECT %b::int8, %t::text", [2**40, None]).fetchone() == (2**40, None)


def test_prepared_statements_are_used_again(analyst):
    analyst.prepare_threshold = 0
    for number in range(12):
        label = f"shelf {number % 8}"
        got = analyst.execute("SELECT label FROM vault WHERE label = %s", [label]).fetchone()
        assert got == (label,)
    assert len(analyst._prepared._names) == 1
    analyst.execute("DEALLOCATE ALL")


def test_executemany_and_several_results(analyst):
    with analyst.cursor() as cursor:
        cursor.executemany("SELECT %s::int + 1", [(1,), (2,), (3,)], returning=True)
        found = [cursor.fetchone()]
        while cursor.nextset():
            found.append(cursor.fetchone())
    assert found == [(2,), (3,), (4,)]


def test_a_cursor_on_the_server(live):
    with live.connect(ANALYST, autocommit=False) as connection:
        with connection.cursor(name="shelves") as cursor:
            cursor.itersize = 3
            cursor.execute(ORDERED)
            assert list(cursor) == LABELS
        with connection.cursor(name="back", scrollable=True) as cursor:
            cursor.execute(ORDERED)
            assert cursor.fetchmany(5) == LABELS[:5]
            cursor.scroll(-4)
            assert cursor.fetchone() == LABELS[1]
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            connection.cursor("h", withhold=True) as held,
        ):
            held.execute(ORDERED)


def test_a_pipeline_with_an_error_in_it(analyst):
    with analyst.pipeline() as pipeline:
        first = analyst.execute("SELECT %s::int", [1])
        second = analyst.execute(ORDERED)
        pipeline.sync()
        assert first.fetchone() == (1,)
        assert second.fetchall() == LABELS
        refused = analyst.execute("SELECT pg_read_file('/etc/passwd')")
        behind = analyst.execute("SELECT 2")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            pipeline.sync()
        assert (refused.description, behind.description) == (None, None)
        assert analyst.execute("SELECT 3").fetchone() == (3,)


def test_a_long_pipeline_keeps_its_order(analyst):
    with analyst.pipeline():
        cursors = [analyst.execute("SELECT %s::int, label FROM vault LIMIT 1", [each]) for each in range(500)]
    assert [each.fetchone()[0] for each in cursors] == list(range(500))


@pytest.mark.parametrize("form", ["text", "csv", "binary"])
def test_copy_out(analyst, form):
    with analyst.cursor().copy(f"COPY ({ORDERED}) TO STDOUT (FORMAT {form})") as copy:
        if form == "binary":
            copy.set_types(["text"])
        got = b"".join(copy) if form == "csv" else list(copy.rows())
    assert got == ("".join(f"{label}\n" for (label,) in LABELS).encode() if form == "csv" else LABELS)


def test_a_copy_of_some_size_comes_whole(analyst):
    with analyst.cursor().copy(
        "COPY (SELECT g, repeat('x', 200) FROM generate_series(1, 50000) AS g) TO STDOUT"
    ) as out:
        rows = sum(chunk.tobytes().count(b"\n") for chunk in map(memoryview, out))
    assert rows == 50_000


class EnoughError(Exception):
    pass


def test_a_copy_that_is_broken_off_is_cancelled(analyst):
    with (
        contextlib.suppress(EnoughError),
        analyst.cursor().copy("COPY (SELECT generate_series(1, 20000000)) TO STDOUT") as copy,
    ):
        assert bytes(copy.read()) == b"1\n"
        raise EnoughError
    assert analyst.execute("SELECT 1").fetchone() == (1,)


def test_transactions_savepoints_and_a_failed_block(live):
    with live.connect(ANALYST) as connection:
        with connection.transaction():
            assert connection.execute(ORDERED).fetchall() == LABELS
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute("SELECT 1/0")
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("DELETE FROM vault")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM vault")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_cancel_reaches_the_statement_and_only_that(live, analyst):
    with live.connect(ANALYST) as other, psycopg.connect(live.admin_dsn(), autocommit=True) as admin:
        running = (
            "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%(1, 400000000)%'"
            " AND pid <> pg_backend_pid()"
        )

        def cancel():
            wait_for(lambda: admin.execute(running).fetchone() is not None)
            other.cancel()  # of an idle session: nothing happens
            analyst.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            analyst.execute("SELECT count(*) FROM generate_series(1, 400000000)")
        thread.join()
        assert analyst.execute("SELECT 1").fetchone() == (1,)
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_time_limit_of_the_client_is_kept(analyst):
    analyst.execute("SET statement_timeout = '100ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        analyst.execute("SELECT count(*) FROM generate_series(1, 400000000)")


def test_many_at_once_with_asyncio(live):
    async def one(number):
        async with await psycopg.AsyncConnection.connect(live.dsn(ANALYST), autocommit=True) as connection:
            await connection.execute("SET TIME ZONE 'Europe/Dublin'")
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute("SELECT %s::int AS n, label FROM vault ORDER BY label LIMIT 1", [number])
            return await cursor.fetchone()

    async def all_of_them():
        return await asyncio.gather(*(one(number) for number in range(12)))

    assert asyncio.run(all_of_them()) == [{"n": number, "label": "shelf 0"} for number in range(12)]


def test_types_are_looked_up_in_the_catalogue(analyst):
    from psycopg.types import TypeInfo
    from psycopg.types.enum import EnumInfo
    from psycopg.types.range import RangeInfo

    assert TypeInfo.fetch(analyst, "uuid").oid == 2950
    assert RangeInfo.fetch(analyst, "int4range").subtype_oid == 23
    assert EnumInfo.fetch(analyst, "no_such_enum") is None


def test_pseudonyms_are_uuids_that_join(analyst):
    rows = analyst.execute(
        "SELECT v.owner_id, p.id FROM vault AS v JOIN people AS p ON p.id = v.owner_id"
    ).fetchall()
    assert len(rows) == 8
    assert all(isinstance(own, uuid.UUID) and own == other for own, other in rows)
    key = rows[0][0]
    assert analyst.execute("SELECT count(*) FROM people WHERE id = %s", [key]).fetchone() == (1,)


def test_intervals_and_infinities_pass(analyst):
    assert analyst.execute("SELECT interval '1 day 2 hours', date '2020-01-01' + 1").fetchone() == (
        timedelta(days=1, hours=2),
        date(2020, 1, 2),
    )


def test_an_empty_text_and_a_long_one(analyst):
    assert analyst.execute("").description is None
    assert analyst.execute("SELECT " + "+".join(["1"] * 500)).fetchone() == (500,)
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        analyst.execute(f"SELECT '{'x' * 300_000}'")
    assert analyst.execute("SELECT length(%s)", ["x" * 300_000]).fetchone() == (300_000,)
