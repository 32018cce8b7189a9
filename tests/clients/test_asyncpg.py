"""asyncpg: binary everywhere, types looked up at first use, and pools that reset what they lend."""

import asyncio
import ssl
import uuid

import asyncpg
import pytest
from tests.live_deployment import ANALYST, MARKERS, SUPPORT


def arguments(live, who):
    host, port = live.address
    return {
        "host": host,
        "port": port,
        "user": who.name,
        "password": who.password,
        "database": "demo",
        "ssl": ssl.create_default_context(cafile=str(live.folder / "secrets" / "tls" / "ca.pem")),
        "server_settings": {"ringfort.purpose": who.purpose},
        "timeout": 20,
    }


def run(live, who, work):
    async def whole():
        connection = await asyncpg.connect(**arguments(live, who))
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(whole())


def test_fetch_with_parameters(live):
    async def work(connection):
        rows = await connection.fetch("SELECT id, label FROM vault WHERE label = $1", "shelf 2")
        assert rows[0]["label"] == "shelf 2"
        assert isinstance(rows[0]["id"], uuid.UUID)
        assert await connection.fetchval("SELECT $1::int + 1", 41) == 42
        assert connection.get_server_version().major >= 14

    run(live, ANALYST, work)


def test_every_type_in_binary(live):
    async def work(connection):
        row = await connection.fetchrow("SELECT * FROM vault WHERE id = 1")
        for name in ("h_text", "h_bigint", "h_float", "h_date", "h_moment", "h_uuid", "h_bytes", "h_array"):
            assert row[name] == MARKERS[name][0]

    run(live, SUPPORT, work)


def test_arrays_and_composites_are_introspected(live):
    async def work(connection):
        assert await connection.fetchval("SELECT ARRAY[1, 2]::int[]") == [1, 2]
        assert await connection.fetchval("SELECT int4range(1, 5)") == asyncpg.Range(1, 5)
        assert len(await connection.fetchval("SELECT v FROM vault AS v LIMIT 1")) == 3
        await connection.set_type_codec("json", encoder=str, decoder=str, schema="pg_catalog")

    run(live, ANALYST, work)


def test_prepared_statements_and_cursors(live):
    async def work(connection):
        prepared = await connection.prepare("SELECT label FROM vault WHERE label > $1 ORDER BY label")
        assert [each.name for each in prepared.get_attributes()] == ["label"]
        assert [row[0] for row in await prepared.fetch("shelf 5")] == ["shelf 6", "shelf 7"]
        async with connection.transaction(readonly=True):
            labels = [
                row[0] async for row in connection.cursor("SELECT label FROM vault ORDER BY 1", prefetch=3)
            ]
            cursor = await connection.cursor("SELECT label FROM vault ORDER BY 1")
            assert (await cursor.fetchrow())[0] == "shelf 0"
            assert await cursor.forward(2) == 2
            assert len(await cursor.fetch(100)) == 5
        assert labels == [f"shelf {number}" for number in range(8)]

    run(live, ANALYST, work)


def test_refusals_have_their_class_and_hint(live):
    async def work(connection):
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
            await connection.fetch("SELECT pg_read_file($1)", "/etc/passwd")
        assert refused.value.hint
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.fetch("SELECT h_text FROM vault")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute("DELETE FROM vault")
        assert await connection.fetchval("SELECT 1") == 1

    run(live, ANALYST, work)


def test_copy_from_query(live, tmp_path):
    async def work(connection):
        done = await connection.copy_from_query(
            "SELECT label FROM vault ORDER BY label", output=tmp_path / "out", format="csv"
        )
        assert done == "COPY 8"

    run(live, ANALYST, work)
    assert (tmp_path / "out").read_text().startswith("shelf 0\n")


def test_a_pool_lends_clean_connections(live):
    async def whole():
        pool = await asyncpg.create_pool(**arguments(live, ANALYST), min_size=1, max_size=2)
        async with pool:
            async with pool.acquire() as connection:
                await connection.execute("SET TIME ZONE 'Asia/Tokyo'")
                assert await connection.fetchval("SHOW TIME ZONE") == "Asia/Tokyo"
            for _ in range(3):
                async with pool.acquire() as connection:
                    assert await connection.fetchval("SHOW TIME ZONE") != "Asia/Tokyo"
            results = await asyncio.gather(*(pool.fetchval("SELECT $1::int", each) for each in range(20)))
            assert results == list(range(20))

    asyncio.run(whole())


def test_a_time_limit_cancels(live):
    async def work(connection):
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetchval("SELECT count(*) FROM generate_series(1, 400000000)", timeout=0.5)
        assert await connection.fetchval("SELECT 1") == 1

    run(live, ANALYST, work)
