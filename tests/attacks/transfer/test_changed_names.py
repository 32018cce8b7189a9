"""A set that is brought up to date knows every name that stands there, however it came."""

import dataclasses
import os
import random
import signal
import subprocess
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.transfer_deployment import CONTRACT
from tests.unit.privacy.inspected import KEY

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.config import load_config
from ringfort.paths import Layout, private_folder
from ringfort.policy.contract_source import load_contract
from ringfort.privacy.fingerprint_match import Matcher
from ringfort.sites.postgres import EmbeddedServer
from ringfort.transfer.changed_rows import SiteState
from ringfort.transfer.fingerprints import IdentifierSource, kept_fingerprints
from ringfort.transfer.inspect import load_fingerprints

LETTERS = "bcdfghjklmnprstvz"
ROWS = 500


def name_of(number):
    """A name that no other number has."""
    draw = random.Random(number)
    first, last = ("".join(draw.choice(LETTERS) + draw.choice("aeiou") for _ in range(5)) for _ in range(2))
    return f"{first.title()} {last.title()}"


class Kept:
    """A set that is kept of `app.people` in a database."""

    def __init__(self, folder, dsn):
        database = conninfo_to_dict(dsn)["dbname"]
        (folder / "ringfort.toml").write_text(
            f'organisation = "X"\n[site.s]\nkind = "external"\ncountry = "IE"\ndatabases = ["{database}"]\n'
        )
        (folder / "transfers").mkdir()
        private_folder(folder / "secrets")
        self.dsn = Layout(folder).site_dsn("s")
        self.point(dsn)
        text = CONTRACT.replace('[source]\ncountry = "IE"\n', "")
        path = folder / "transfers" / "us-analytics.toml"
        path.write_text("\n".join(each for each in text.splitlines() if not each.startswith("files =")))
        column = Column("name", "text", protection="restricted", identifiability="direct", kind="name")
        dataset = Dataset("shop", database, tables=(Table("app", "people", (column,)),))
        contract, _ = load_contract(path)
        self.read = 0
        self.folder = private_folder(folder / "kept")
        self.source = IdentifierSource(
            load_config(folder), contract, Catalogue((dataset,)), KEY, self._progress
        )

    def point(self, dsn):
        self.dsn.write_text(dsn)
        self.dsn.chmod(0o600)

    def _progress(self, rows):
        self.read += rows

    def update(self, **more):
        """Bring it up to date; the rows that were read for it."""
        self.read = 0
        kept = kept_fingerprints(dataclasses.replace(self.source, **more), self.folder)
        self.matcher = Matcher(load_fingerprints(kept, KEY))
        return self.read

    def knows(self, *numbers):
        texts = [name_of(each) for each in numbers]
        rows = set()
        for each in self.matcher.texts(pa.array(texts)):
            rows |= set(each.rows[each.kinds >= 0].tolist())
        return len(rows) == len(texts)


def make(admin, kind="TABLE", rows=ROWS):
    admin.execute("CREATE SCHEMA app")
    admin.execute("CREATE TABLE app.people (id bigint, name text, other text)")
    insert(admin, range(rows))


def insert(admin, numbers, table="app.people"):
    with admin.cursor() as cursor:
        values = [(each, name_of(each), name_of(each + 10**6)) for each in numbers]
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s, %s)", values)


@pytest.fixture
def admin(fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        make(connection)
        yield connection


@pytest.fixture
def kept(tmp_path, fresh_database, admin):
    made = Kept(tmp_path, fresh_database)
    assert made.update() == ROWS
    assert made.knows(*range(ROWS))
    return made


def test_what_did_not_change_is_not_read(kept, admin):
    data = (kept.folder / "identifiers").read_bytes()
    assert kept.update() == 0
    assert (kept.folder / "identifiers").read_bytes() == data


WAYS = {
    "inserted": ("INSERT INTO app.people VALUES (1, '{new}')",),
    "changed": ("UPDATE app.people SET name = '{new}' WHERE id = 7",),
    "in a subtransaction": (
        "DO $$BEGIN BEGIN INSERT INTO app.people VALUES (1, '{new}'); EXCEPTION WHEN others THEN END; END$$",
    ),
    "copied frozen": (
        "BEGIN", "TRUNCATE app.people", "COPY app.people (name) FROM STDIN (FREEZE)", "COMMIT",
    ),
    "after freezing": ("INSERT INTO app.people VALUES (1, '{new}')", "VACUUM FREEZE app.people"),
    "after a rewrite": ("INSERT INTO app.people VALUES (1, '{new}')", "VACUUM FULL app.people"),
    "by another type": (
        "ALTER TABLE app.people ALTER name TYPE text USING CASE WHEN id = 7 THEN '{new}' ELSE name END",
    ),
    "by a default": (
        "DELETE FROM app.people WHERE id > 7", "ALTER TABLE app.people DROP name",
        "ALTER TABLE app.people ADD name text DEFAULT '{new}'",
    ),
    "by other columns": (
        "ALTER TABLE app.people RENAME name TO old", "ALTER TABLE app.people RENAME other TO name",
    ),
    "by another table": (
        "ALTER TABLE app.people RENAME TO gone", "ALTER TABLE app.other RENAME TO people",
    ),
    "by an heir": ("ALTER TABLE app.other INHERIT app.people",),
    "by a view": (
        "ALTER TABLE app.people RENAME TO gone", "CREATE VIEW app.people AS SELECT * FROM app.other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_new_name_is_known_however_it_came(tmp_path, fresh_database, admin, way):
    admin.execute("CREATE TABLE app.other (id bigint, name text, other text)")
    insert(admin, [10**6 + 7], "app.other")  # older than the set
    made = Kept(tmp_path, fresh_database)
    made.update()
    new = name_of(10**6 + 7)
    assert not made.knows(10**6 + 7)
    for each in WAYS[way]:
        if "STDIN" in each:
            with admin.cursor() as cursor, cursor.copy(each) as copy:
                copy.write(f"{new}\n")
        else:
            admin.execute(each.format(new=new))
    made.update()
    assert made.knows(10**6 + 7)
    made.update()
    assert made.knows(10**6 + 7)


def test_who_was_not_over_yet_is_known_later(kept, admin, fresh_database):
    with psycopg.connect(fresh_database) as slow, psycopg.connect(fresh_database) as nested:
        slow.execute("INSERT INTO app.people VALUES (1, %s)", (name_of(9001),))
        nested.execute("SAVEPOINT s")
        nested.execute("UPDATE app.people SET name = %s WHERE id = 3", (name_of(9002),))
        for _ in range(3):
            insert(admin, [9003])
        assert kept.update() > 0
        assert not kept.knows(9001)
        assert not kept.knows(9002)
        slow.commit()
        kept.update()
        assert kept.knows(9001, 9003)
        nested.commit()
    assert kept.update() < ROWS
    assert kept.knows(9001, 9002, 9003)


def test_partitions_come_with_what_they_had(tmp_path, fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA app")
        admin.execute("CREATE TABLE app.people (id bigint, name text, other text) PARTITION BY RANGE (id)")
        admin.execute("CREATE TABLE app.one PARTITION OF app.people FOR VALUES FROM (0) TO (1000)")
        admin.execute("CREATE TABLE app.two (other text, name text, id bigint NOT NULL)")
        insert(admin, range(100))
        admin.execute("INSERT INTO app.two VALUES ('', %s, 2000)", (name_of(7777),))
        made = Kept(tmp_path, fresh_database)
        assert made.update() == 100
        admin.execute("ALTER TABLE app.people ATTACH PARTITION app.two FOR VALUES FROM (1000) TO (3000)")
        assert made.update() == 1
        assert made.knows(7777, *range(100))
        admin.execute("UPDATE app.people SET id = id + 1500 WHERE id = 5")
        assert made.update() == 1


def test_a_name_that_went_is_gone_when_the_set_is_made_anew(kept, admin):
    admin.execute("DELETE FROM app.people WHERE id = 3")
    assert kept.update() == 0
    assert kept.knows(3)
    for _ in range(4):
        admin.execute("UPDATE app.people SET other = ''")
        kept.update(ahead=True)
    kept.update(ahead=True)
    assert not kept.knows(3)
    assert kept.knows(*(each for each in range(ROWS) if each != 3))


def test_who_changes_often_is_no_placeholder(kept, admin):
    for _ in range(30):
        admin.execute("UPDATE app.people SET other = '' WHERE id = 7")
        assert kept.update() == 1
    assert kept.knows(*range(ROWS))


@pytest.mark.parametrize("seed", range(3))
def test_every_name_of_every_moment_is_known(tmp_path, fresh_database, admin, seed):
    """Inserts, changes, deletions, vacuums and transactions side by side, in any order."""
    draw = random.Random(seed)
    made = Kept(tmp_path, fresh_database)
    number = 10_000
    others = [psycopg.connect(fresh_database) for _ in range(3)]
    for _ in range(40):
        connection = draw.choice([admin, *others])
        number += 1
        act = draw.randrange(8)
        if act < 3:
            connection.execute("INSERT INTO app.people VALUES (%s, %s)", (number, name_of(number)))
        elif act == 3 and connection is admin:
            connection.execute("DELETE FROM app.people WHERE id = %s", (draw.randrange(ROWS),))
        elif act == 4 and connection is not admin:
            draw.choice([connection.commit, connection.rollback])()
        elif act == 5:
            admin.execute("VACUUM (FREEZE) app.people")
        else:
            made.update(ahead=draw.random() < 0.3)
            there = admin.execute("SELECT name FROM app.people").fetchall()
            rows = set()
            for each in made.matcher.texts(pa.array([row[0] for row in there])):
                rows |= set(each.rows[each.kinds >= 0].tolist())
            assert len(rows) == len(there)
    for each in others:
        each.close()


def test_another_history_is_read_anew():
    now = SiteState(("a", "1"), 100, 110, 5, {})
    assert dataclasses.replace(now, since=105, next=120).follows(now)
    assert not dataclasses.replace(now, server=("a", "2")).follows(now)
    assert not dataclasses.replace(now, server=()).follows(dataclasses.replace(now, server=()))
    assert not dataclasses.replace(now, since=99).follows(now)
    assert not dataclasses.replace(now, next=109).follows(now)
    assert not dataclasses.replace(now, since=2**31, next=2**31 + 100).follows(now)


def test_after_a_crash_and_a_restart_all_is_read_anew(tmp_path, server_folder):
    folder = server_folder / "crash"
    with EmbeddedServer(folder, durable=False) as server:
        dsn = server.admin_dsn("postgres")
        with psycopg.connect(dsn, autocommit=True) as admin:
            make(admin)
            made = Kept(tmp_path, dsn)
            assert made.update() == ROWS
            assert made.update() == 0
            admin.execute("CHECKPOINT")
            (pid,) = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
            ).fetchone()
        os.kill(pid, signal.SIGKILL)  # the server restarts its processes by itself
        for _ in range(1000):
            try:
                psycopg.connect(dsn, connect_timeout=5).close()
            except psycopg.OperationalError:
                continue
            if made.update() == ROWS:
                break
        else:
            raise AssertionError
        assert made.update() == 0
    with EmbeddedServer(folder, durable=False) as server:
        made.point(server.admin_dsn("postgres"))
        assert made.update() == ROWS


def test_numbers_that_wrap_around_hide_nobody(tmp_path, server_folder):
    """The counter of transactions goes over the end of its 32 bits between two updates."""
    place = server_folder / "wrapping"
    with EmbeddedServer(place, durable=False) as server:
        for database in ("postgres", "template1"):
            with psycopg.connect(server.admin_dsn(database), autocommit=True) as admin:
                admin.execute("VACUUM (FREEZE)")
                (data,) = admin.execute("SHOW data_directory").fetchone()
                (binaries,) = admin.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    reset = Path(binaries, "pg_resetwal")
    if not reset.exists():
        pytest.skip("pg_resetwal is not installed with the server")
    owner = Path(data).stat()
    status = Path(data, "pg_xact", "0FFF")  # of the last transactions before the end
    status.write_bytes(bytes(262_144))
    os.chown(status, owner.st_uid, owner.st_gid)
    end = 2**32
    subprocess.run(
        [reset, "-f", "-x", str(end - 60), "-u", str(end - 10_000_000), data],
        check=True, user=owner.st_uid, group=owner.st_gid, extra_groups=[], capture_output=True, cwd="/",
    )  # fmt: skip
    with EmbeddedServer(place, durable=False) as server:
        dsn = server.admin_dsn("postgres")
        with psycopg.connect(dsn, autocommit=True) as admin:
            make(admin, rows=20)
            made = Kept(tmp_path, dsn)
            assert made.update() == 20
            for number in range(100, 160):  # each a transaction of its own
                insert(admin, [number])
                if number % 7 == 0:
                    made.update()
                    assert made.knows(*range(100, number + 1))
            (now,) = admin.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
            assert now >= end
            admin.execute("VACUUM FREEZE app.people")
            assert made.update() < 60
            insert(admin, [200])
            made.update()
            assert made.knows(200, *range(20), *range(100, 160))
