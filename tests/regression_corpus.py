"""PostgreSQL's own regression tests as a corpus: their tables, and the queries of their scripts.

The scripts are read roughly: what makes tables, types and functions and what fills tables is run, temporary
tables become lasting ones, and whatever fails is left out. Nothing is dropped: in the end all is there that
 the queries of all scripts read.
"""

import contextlib
import re
from pathlib import Path

import psycopg
from postgast import PgQueryError, split
from psycopg import sql

from ringfort.catalog.model import Catalogue, Column, Dataset, Table

DATA = re.compile(r"^(copy .*? from stdin.*?;)\n.*?^\\\.$", re.IGNORECASE | re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"\\set filename :abs_srcdir '/data/(\S+)'\s*\ncopy (\w+)", re.IGNORECASE)
_TEMPORARY = re.compile(r"^(\s*create) (?:local |global )?temp(?:orary)? ", re.IGNORECASE)
_MAKES = re.compile(
    r"^\s*(create (unlogged )?(table|type|domain|(or replace )?(function|view))|insert|alter type)\b",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"^\s*(?:create .*? as|insert into [\w.]+(?: ?\([^)]*\))?|prepare .*? as|declare .*? for|explain\b.*?)\s+"
    r"((?:select|with|values)\b.*)$|^\s*copy \((.*)\) to stdout",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)+", re.DOTALL)
MOST_ROWS = 2_000
DATASET = "shop"


def statements(path):
    """The statements of a script, without what is psql's."""
    text = DATA.sub("", path.read_text(encoding="utf-8", errors="replace"))
    text = re.sub(r"^\\.*$|\\g\w*.*$", ";", text, flags=re.MULTILINE)
    try:
        found = split(text)
    except PgQueryError:
        found = re.split(r";\s*\n", text)
    return [_COMMENT.sub("", each) for each in found]


def scripts(folder):
    """All scripts, in the order of the schedule where that is there."""
    schedule = Path(folder).parent / "parallel_schedule"
    named = re.findall(r"^test: (.*)$", schedule.read_text(), re.MULTILINE) if schedule.is_file() else []
    found = [Path(folder) / f"{each}.sql" for line in named for each in line.split()]
    return [each for each in found if each.is_file()] or sorted(Path(folder).glob("*.sql"))


def queries(folder):
    """The queries of all scripts, those in CREATE, INSERT, PREPARE, DECLARE, EXPLAIN and COPY included."""
    found = {}
    for script in scripts(folder):
        for text in statements(script):
            match = _QUERY.match(text)
            found.setdefault(next(each for each in match.groups() if each) if match else text)
    return list(found)


def build(dsn, folder):
    """Make the tables of all scripts and fill them."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("SET statement_timeout = '5s'")
        for script in scripts(folder):
            for each in statements(script):
                text = _TEMPORARY.sub(r"\1 ", each)
                if _MAKES.match(text):
                    with contextlib.suppress(psycopg.Error), admin.transaction():
                        admin.execute(text.encode())
            for file, table in _FILE.findall(script.read_text(encoding="utf-8", errors="replace")):
                with admin.cursor() as cursor, contextlib.suppress(psycopg.Error, OSError):
                    data = (Path(folder).parent / "data" / file).read_bytes()
                    with cursor.copy(
                        sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table.lower()))
                    ) as copy:
                        copy.write(data)
        admin.rollback()
        admin.execute("RESET ALL")
        for table in _tables(admin):
            name = sql.Identifier("public", table)
            admin.execute(
                sql.SQL(
                    "DELETE FROM ONLY {0} WHERE ctid NOT IN (SELECT ctid FROM ONLY {0} LIMIT {1})"
                ).format(name, MOST_ROWS)
            )


def _tables(admin):
    return [
        row[0]
        for row in admin.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " ORDER BY 1"
        )
    ]


class Regression:
    """The tables that a database has in its schema public, as a corpus for `positions.Placed`.

    `pseudonyms` are columns that show pseudonyms; all others are raw.
    """

    tables = ""

    def __init__(self, dsn, template, pseudonyms):
        self.template = f"TEMPLATE {template}"
        tables = {}
        with psycopg.connect(dsn) as admin:
            rows = admin.execute(
                "SELECT relname, attname, format_type(atttypid, atttypmod) FROM pg_class c"
                " JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped"
                " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY 1, attnum"
            )
            for table, column, kind in rows:
                tables.setdefault(table, []).append((column, kind))
        self.forms = {
            (table, column): "pseudonym" if (table, column) in pseudonyms else "raw"
            for table, columns in tables.items()
            for column, _ in columns
        }
        made = tuple(
            Table(
                "public",
                table,
                tuple(
                    Column(
                        name,
                        kind,
                        "protected",
                        "direct",
                        "key" if (table, name) in pseudonyms else "category",
                    )
                    for name, kind in columns
                ),
            )
            for table, columns in tables.items()
        )
        self.catalogue = Catalogue((Dataset(DATASET, DATASET, "", made),))

    def load(self, dsn, order):
        """Put the rows of all tables into the physical order number `order`."""
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")
            for table in _tables(admin):
                with contextlib.suppress(psycopg.Error), admin.transaction():
                    self._place(admin, table, order)
            admin.execute("ANALYZE")

    @staticmethod
    def _place(admin, table, order):
        name = sql.Identifier("public", table)
        columns = admin.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            (f'public."{table}"',),
        ).fetchall()
        listed = sql.SQL(", ").join(sql.Identifier(row[0]) for row in columns)
        by = ("ctid", "ctid DESC", "md5(ctid::text)")[order]
        admin.execute(
            sql.SQL("CREATE TEMP TABLE placed ON COMMIT DROP AS SELECT {} FROM ONLY {} ORDER BY {}").format(
                listed, name, sql.SQL(by)
            )
        )
        admin.execute(sql.SQL("DELETE FROM ONLY {}").format(name))
        admin.execute(
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM placed").format(
                name, listed, listed
            )
        )


_SELECTED_TABLES = """
CREATE TABLE onek (unique1 int4, unique2 int4, two int4, four int4, ten int4, twenty int4, hundred int4,
    thousand int4, odd int4, even int4, stringu1 name, string4 name);
INSERT INTO onek SELECT (n * 7) % 1000, n, n % 2, n % 4, n % 10, n % 20, n % 100, n, n % 100 * 2 + 1,
    n % 100 * 2, 'S' || (n * 7) % 1000, (ARRAY['AAAA', 'HHHH', 'OOOO', 'VVVV'])[1 + n % 4]
    FROM generate_series(0, 999) AS n;
CREATE TABLE tenk1 AS SELECT unique1, unique2, two, four, ten, hundred, thousand,
    thousand * 3 % 10000 AS tenthous, stringu1, string4 FROM onek;
CREATE TABLE int4_tbl (f1 int4);
INSERT INTO int4_tbl VALUES (0), (123456), (-123456), (2147483647), (-2147483647);
CREATE TABLE int8_tbl (q1 int8, q2 int8);
INSERT INTO int8_tbl VALUES (123, 456), (123, 4567890123456789), (4567890123456789, 123),
    (4567890123456789, 4567890123456789), (4567890123456789, -4567890123456789);
CREATE TABLE empsalary (depname varchar, empno bigint, salary int, enroll_date date);
INSERT INTO empsalary VALUES ('develop', 10, 5200, '2007-08-01'), ('sales', 1, 5000, '2006-10-01'),
    ('personnel', 5, 3500, '2007-12-10'), ('sales', 4, 4800, '2007-08-08'),
    ('personnel', 2, 3900, '2006-12-23'),
    ('develop', 7, 4200, '2008-01-01'), ('develop', 9, 4500, '2008-01-01'), ('sales', 3, 4800, '2007-08-01'),
    ('develop', 8, 6000, '2006-10-01'), ('develop', 11, 5200, '2007-08-15');
CREATE TABLE person (name text, age int4, location point);
INSERT INTO person SELECT 'p' || n % 40, n % 30, point(n % 5, n % 3) FROM generate_series(1, 60) AS n;
CREATE TABLE emp (salary int4, manager name) INHERITS (person);
INSERT INTO emp VALUES ('sharon', 25, '(15,12)', 1000, 'sam'), ('sam', 30, '(10,5)', 2000, 'bill'),
    ('bill', 20, '(11,10)', 1000, 'sharon');
"""
SELECTION = [
    line
    for line in (Path(__file__).parent / "regression_selection.sql").read_text("utf-8").splitlines()
    if not line.startswith("--")
]


def make_selection(dsn):
    """Tables in the manner of those of the regression tests, for the queries of `SELECTION`."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(_SELECTED_TABLES)
