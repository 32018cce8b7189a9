"""What a real server makes of a query: the functions, relations and columns of its own analysed tree.

The query becomes a view, and the view's rule (`pg_rewrite.ev_action`) is read. That is the oracle for the
allow-list: our reading of a text must not be more innocent than the server's.
"""

import re

import psycopg

_CALL = re.compile(r"\{FUNCEXPR :funcid (\d+) .*?:funcformat (\d)")
_AGGREGATE = re.compile(r"\{AGGREF :aggfnoid (\d+)")
_WINDOW = re.compile(r"\{WINDOWFUNC :winfnoid (\d+)")
_RELATION = re.compile(r":relid (\d+)")
# in RTEPERMISSIONINFO since PostgreSQL 16, in RTE before
_COLUMNS = re.compile(r":relid (\d+) (?:(?!:relid ).)*?:selectedCols \(b([ \d]*)\)")
_CALLED = "03"  # COERCE_EXPLICIT_CALL, COERCE_SQL_SYNTAX; the others are casts
_FIRST_COLUMN = 7  # attribute numbers in the tree start at FirstLowInvalidHeapAttributeNumber


class ServerReading:
    """The server's reading of queries. `connection` is a superuser's, whose search_path is the profile's."""

    def __init__(self, connection):
        self._connection = connection
        self._functions = self._map("SELECT oid, pronamespace::regnamespace::text, proname FROM pg_proc")
        self._relations = self._map("SELECT oid, relnamespace::regnamespace::text, relname FROM pg_class")
        self._columns = {}
        for relation, number, name in connection.execute(
            "SELECT attrelid::int8, attnum::int4, attname::text FROM pg_attribute"
        ):
            self._columns[relation, number] = name
        connection.execute("CREATE SCHEMA IF NOT EXISTS reading")

    def _map(self, query):
        return {int(oid): (schema, name) for oid, schema, name in self._connection.execute(query)}

    def read(self, query):
        """(functions, relations, {relation: columns}), or None if the server does not accept the query."""
        try:
            self._connection.execute("DROP VIEW IF EXISTS reading.query")
            body = query.strip().rstrip(";")
            self._connection.execute(
                f"CREATE VIEW reading.query AS SELECT 1 AS one FROM (\n{body}\n) q".encode()
            )
        except psycopg.Error:
            return None
        tree = self._connection.execute(
            "SELECT ev_action::text FROM pg_rewrite WHERE ev_class = 'reading.query'::regclass"
        ).fetchone()[0]
        functions = {int(oid) for oid, form in _CALL.findall(tree) if form in _CALLED}
        functions |= {int(oid) for oid in _AGGREGATE.findall(tree) + _WINDOW.findall(tree)}
        relations = {int(oid) for oid in _RELATION.findall(tree)} & self._relations.keys()
        columns = {}
        for oid, numbers in _COLUMNS.findall(tree):
            if int(oid) not in self._relations:  # the view itself
                continue
            names = columns.setdefault(self._relations[int(oid)], set())
            for number in numbers.split():
                attribute = int(number) - _FIRST_COLUMN
                names.add(self._columns[int(oid), attribute] if attribute else "*")
        return (
            {self._functions[oid] for oid in functions},
            {self._relations[oid] for oid in relations} - {("reading", "query")},
            columns,
        )
