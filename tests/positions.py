"""One set of rows in several physical orders, seen through one profile: positions must tell nothing."""

import contextlib
import random

import psycopg
from psycopg.conninfo import make_conninfo
from tests.shop_database import DOMAIN, SECRET, decision, site_database

from ringfort.catalog.model import Catalogue, Column, Dataset, Table
from ringfort.disclosure.positions import shown_views
from ringfort.disclosure.profile import compile_profile
from ringfort.disclosure.statements import Surface, judge
from ringfort.gateway.mapping import MappingFiller
from ringfort.privacy.epoch_keys import key_id

TYPES = {
    "people": {
        "id": "integer",
        "name": "text",
        "score": "numeric",
        "ratio": "double precision",
        "doc": "json",
        "docb": "jsonb",
        "spot": "point",
        "tags": "text[]",
        "span": "interval",
        "code": "character(8)",
        "born": "date",
        "grp": "integer",
    },
    "visits": {"id": "bigint", "person_id": "integer", "day": "date", "note": "text", "amount": "numeric"},
}
TABLES = (
    "".join(
        f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())});"
        for table, columns in TYPES.items()
    )
    + "ALTER TABLE visits ALTER id SET NOT NULL;"
)
PSEUDONYMS = {("people", "id"), ("visits", "id"), ("visits", "person_id")}
FORMS = {
    (table, column): "pseudonym" if (table, column) in PSEUDONYMS else "raw"
    for table, columns in TYPES.items()
    for column in columns
}
CATALOGUE = Catalogue(
    (
        Dataset(
            "shop",
            "shop",
            "people.id",
            tuple(
                Table(
                    "public",
                    table,
                    tuple(
                        Column(
                            name,
                            kind,
                            "protected",
                            "direct",
                            "key" if (table, name) in PSEUDONYMS else "category",
                            {"person_id": "people.id"}.get(name, f"{table}.{name}")
                            if (table, name) in PSEUDONYMS
                            else None,
                        )
                        for name, kind in columns.items()
                    ),
                )
                for table, columns in TYPES.items()
            ),
        ),
    )
)
# as an administrator may set it: every plan that can be parallel is; `forced` has two names
PARALLEL = (
    "-c {forced}=on -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0"
    " -c parallel_tuple_cost=0 -c max_parallel_workers_per_gather=3"
)
FIRST_OWN = 16384
SERIAL = "-c max_parallel_workers_per_gather=0"


def rows(people=60, visits=90):
    """Rows with many ties, equal rows, and values that are equal but print differently."""
    draw = random.Random(7)
    made = [
        (
            n if n % 11 else None,
            f"name{draw.randrange(8)}" if n % 13 else None,
            draw.choice(["1.0", "1.00", "2", "2.000", None]),
            draw.choice(["0", "-0", "1.5", "NaN", None]),
            draw.choice(['{"a":1}', '{"a": 1}', "[]", None]),
            draw.choice(['{"a":1}', '{"a":1.0}', "[]", None]),
            draw.choice(["(1,2)", "(1,2.0000001)", "(-0,0)", None]),
            draw.choice(["{a,b}", "{b}", "{}", None]),
            draw.choice(["1 day", "24:00:00", "1 mon", "30 days", None]),
            draw.choice(["a", "a  ", "b", None]),
            draw.choice(["1970-01-01", "1980-05-05", "1990-09-09", None]),
            draw.randrange(4),
        )
        for n in range(1, people + 1)
    ]
    made += made[:5]  # rows that are equal in all columns
    seen = [
        (
            n,
            draw.randrange(1, people) if n % 9 else None,
            draw.choice(["2026-01-01", "2026-01-02"]),
            draw.choice(["x", "y", None]),
            draw.choice(["1.0", "1.00", "3", None]),
        )
        for n in range(1, visits + 1)
    ]
    return {"people": made, "visits": seen}


def load(dsn, order):
    """Put the rows in, in the physical order number `order`."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        for table, made in rows().items():
            lines = list(made)
            if order == 1:
                lines.reverse()
            elif order > 1:
                random.Random(order).shuffle(lines)
            with admin.cursor() as cursor:
                marks = ", ".join(["%s"] * len(lines[0]))
                cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", lines)
            if order == 2:  # rows that were written again lie elsewhere
                admin.execute(f"UPDATE {table} SET id = id WHERE ctid IN (SELECT ctid FROM {table} LIMIT 20)")
                admin.execute(f"VACUUM ANALYZE {table}")
            if order == 0:
                admin.execute(f"ANALYZE {table}")


class Shop:
    """What is placed if nothing else is named: the tables above. Others are regression_corpus.py's."""

    tables = TABLES
    forms = FORMS
    catalogue = CATALOGUE
    load = staticmethod(load)


class Placed:
    """A database per physical order, each with the same profile; `answer` gives the bytes of an answer."""

    def __init__(self, server, orders=(0, 1, 2), domain=DOMAIN, prefix="placed", corpus=Shop):
        self.stack = contextlib.ExitStack()
        self.connections = {}
        self.surfaces = {}
        self.profiles = {}
        self.server = server
        with psycopg.connect(server.admin_dsn(), autocommit=True) as admin:
            self.before = {row[0] for row in admin.execute("SELECT rolname FROM pg_roles")}
            self.databases = [f"{prefix}_{order}" for order in orders]
            for name in self.databases:
                admin.execute(f"CREATE DATABASE {name} {getattr(corpus, 'template', '')}")
        for order, name in zip(orders, self.databases, strict=True):
            dsn = server.admin_dsn(name)
            site = self.stack.enter_context(contextlib.closing(site_database(dsn, tables=corpus.tables)))
            corpus.load(dsn, order)
            filler = self.stack.enter_context(
                contextlib.closing(MappingFiller(site.connect, lambda _: SECRET))
            )
            site.audit()
            bound = site.bound("c" * 64, corpus.catalogue.datasets)
            profile = compile_profile(
                decision(corpus.forms),
                corpus.catalogue.datasets,
                database=name,
                domain=domain,
                key_id=key_id(SECRET, domain),
                bound=bound,
                found=bound,
            )
            password = site.ensure_profile(profile)
            filler.add(domain, profile.maps)
            filler.ensure(each.id for each in profile.maps)
            self.profiles[order] = profile
            columns = frozenset(column for _, column in corpus.forms)
            self.surfaces[order] = Surface(
                frozenset(profile.relations), profile.schema, columns, shown=shown_views(profile, frozenset())
            )
            forced = "debug_parallel_query" if server.major >= 16 else "force_parallel_mode"
            for way, options in (("serial", SERIAL), ("parallel", PARALLEL.format(forced=forced))):
                whole = make_conninfo(dsn, user=profile.role, password=password, options=options)
                self.connections[order, way] = self.stack.enter_context(
                    psycopg.connect(whole, autocommit=True)
                )

    def people_in_order(self, order, text):
        """The raw keys of the people whose pseudonyms `text` gives in its first column, in their order."""
        (plan,) = [each for each in self.profiles[order].maps if each.identity_space == "people.id"]
        name = self.databases[list(self.surfaces).index(order)]
        with psycopg.connect(self.server.admin_dsn(name)) as admin:
            rows = admin.execute(f"SELECT pseudonym::text, raw FROM ringfort.{plan.table}").fetchall()
        raw = dict(rows)
        _, answered = self.answer((order, "serial"), self.sent(text, order))
        return [raw[row[0].decode()] for row in answered if row[0]]

    def close(self):
        """Everything away."""
        self.stack.close()
        with psycopg.connect(self.server.admin_dsn(), autocommit=True) as admin:
            for name in self.databases:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for (role,) in admin.execute("SELECT rolname FROM pg_roles").fetchall():
                if role not in self.before:
                    admin.execute(f'DROP ROLE "{role}"')

    def sent(self, text, order=0):
        """What the gate sends for `text` to the database of an order; None if it is refused."""
        verdict = judge(text, self.surfaces[order])
        return (verdict.rewritten or text) if verdict.allowed else None

    def answer(self, where, text):
        """What `text`, sent as it stands, answers there: descriptions and rows, or the SQLSTATE."""
        return answer_of(self.connections[where], text)

    def answers(self, text):
        """The answers to `text`, by physical order and way of planning."""
        if self.sent(text) is None:
            return {}
        return {where: self.answer(where, self.sent(text, where[0])) for where in self.connections}


def answer_of(connection, text):
    """What is answered: names, types and rows, or the SQLSTATE."""
    if text.upper().startswith("COPY"):
        with connection.cursor() as cursor, cursor.copy(text) as copy:
            return bytes(b"".join(copy))
    result = connection.pgconn.exec_(text.encode())
    if result.error_field(psycopg.pq.DiagnosticField.SQLSTATE):
        return result.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()
    width = result.nfields
    types = [min(result.ftype(n), FIRST_OWN) for n in range(width)]  # a view's own has a number per database
    names = [(result.fname(n), types[n], result.fmod(n)) for n in range(width)]
    return names, [[result.get_value(row, n) for n in range(width)] for row in range(result.ntuples)]
