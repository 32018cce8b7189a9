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
