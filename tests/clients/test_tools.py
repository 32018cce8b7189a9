"""What people put on top of a driver: SQLAlchemy, pandas, pgbench."""

import shutil
import subprocess

import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa
from tests.live_deployment import ANALYST, SUPPORT, environment

VIEWS = {"messages", "payments", "people", "vault", "videos", "views"}


@pytest.fixture
def engine(live):
    made = _engine(live, ANALYST)
    yield made
    made.dispose()


def _engine(live, who):
    return sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(live.dsn(who)), pool_size=2
    )


def test_an_inspector_finds_views_and_columns(engine):
    inspector = sa.inspect(engine)
    assert set(inspector.get_view_names()) == VIEWS
    assert inspector.get_table_names() == []
    columns = {each["name"]: str(each["type"]) for each in inspector.get_columns("vault")}
    assert columns == {"id": "UUID", "owner_id": "UUID", "label": "TEXT"}
    for ask in (inspector.get_pk_constraint, inspector.get_foreign_keys, inspector.get_indexes):
        assert not [each for each in ask("vault") if each is None]
    assert inspector.has_table("vault")
    assert not inspector.has_table("uncatalogued")
    inspector.get_schema_names()
    inspector.get_unique_constraints("vault")
    inspector.get_check_constraints("vault")
    inspector.get_table_comment("vault")


def test_a_reflected_table_is_queried(engine):
    vault = sa.Table("vault", sa.MetaData(), autoload_with=engine)
    people = sa.Table("people", sa.MetaData(), autoload_with=engine)
    query = (
        sa.select(vault.c.label, people.c.country)
        .join(people, people.c.id == vault.c.owner_id)
        .where(vault.c.label.in_(["shelf 1", "shelf 2"]))
        .order_by(vault.c.label)
        .limit(5)
    )
    with engine.connect() as connection:
        assert [row.label for row in connection.execute(query)] == ["shelf 1", "shelf 2"]
        assert connection.execute(sa.select(sa.func.count()).select_from(vault)).scalar_one() == 8
        with connection.execution_options(yield_per=3).execute(sa.select(vault)) as streamed:
            assert len(streamed.all()) == 8


def test_a_pool_hands_out_working_connections(engine):
    for _ in range(5):
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    with pytest.raises(sa.exc.ProgrammingError) as refused, engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM vault"))
    assert refused.value.orig.sqlstate == "42501"
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 2")).scalar_one() == 2


def test_pandas_reads_frames(engine, live):
    frame = pd.read_sql("SELECT label, owner_id FROM vault ORDER BY label", engine)
    assert list(frame["label"]) == [f"shelf {number}" for number in range(8)]
    frame = pd.read_sql_query(
        sa.text("SELECT country, count(*) AS n FROM people GROUP BY country"), engine, index_col="country"
    )
    assert frame["n"].sum() == 300
    assert len(pd.read_sql_table("vault", engine)) == 8
    assert sum(len(each) for each in pd.read_sql("SELECT * FROM views", engine, chunksize=500)) == 3_000
    raw = _engine(live, SUPPORT)
    assert "h_email" in pd.read_sql_table("vault", raw)
    raw.dispose()


@pytest.mark.skipif(shutil.which("pgbench") is None, reason="pgbench is not installed")
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_reads_rows(live, tmp_path, mode):
    (tmp_path / "read.sql").write_text(
        "\\set n random(0, 7)\nSELECT id, label FROM vault WHERE label = 'shelf ' || :n;\n"
    )
    done = subprocess.run(
        ["pgbench", "-n", "-f", "read.sql", "-M", mode, "-c", "4", "-j", "2", "-t", "50", live.dsn(ANALYST)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "200/200" in done.stdout
    assert "failed transactions: 0 " in done.stdout
