"""The database shows the kernel's bytes, for every type; and pseudonyms lead back by each of three ways."""

import contextlib
import datetime as dt
import time
import uuid
from dataclasses import replace
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo
from tests.shop_database import DOMAIN, SECRET, decision, key_name, site_database

from ringfort.catalog.model import Column, Dataset, Table
from ringfort.disclosure.profile import compile_profile, map_plan
from ringfort.gateway.lead_back import Place, WrittenMaker, codec_of, lead_back, lead_back_written
from ringfort.gateway.mapping import MappingFiller
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret, derive_key, key_id
from ringfort.privacy.pseudonym import Domain, Pseudonymiser

UTC = dt.UTC
OTHER = Domain("Other Ltd", "analytics")
# name -> PostgreSQL type, pseudonym type, Arrow type of the values that psycopg gives, values
TYPES = {
    "t": ("text", "text", pa.string(), ["Zo\u00eb", "Zoe\u0308", "", "x" * 9000, " a ", None]),
    "c": ("character(6)", "text", pa.string(), ["ab", "abcdef", "", "a b", "\u00e9", None]),
    "v": ("character varying(9)", "text", pa.large_string(), ["x", "X", "\U0001f600", "a\nb", "", None]),
    "i": ("smallint", "number", pa.int16(), [-32768, 32767, 0, 1, -1, None]),
    "j": ("integer", "number", pa.int32(), [-(2**31), 2**31 - 1, 0, 17850, -1, None]),
    "k": ("bigint", "number", pa.int64(), [-(2**63), 2**63 - 1, 0, 17850, -1, None]),
    "f": ("double precision", "number", pa.float64(), [17850.0, 0.1, -0.0, float("nan"), 1e300, None]),
    "r": ("real", "number", pa.float32(), [0.1, 1.5, 3.0, float("inf"), -0.0, None]),
    "n": (
        "numeric(38,6)", "number", pa.decimal128(38, 6),
        [Decimal("1.5"), Decimal(17850), Decimal(-(10**30)), Decimal("0.000001"), Decimal(0), None],
    ),
    "u": ("uuid", "uuid", pa.binary(16), [*(uuid.UUID(int=each * 7919) for each in range(5)), None]),
    "d": (
        "date", "date", pa.date32(),
        [dt.date(1970, 1, 1), dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2000, 2, 29),
         dt.date(1969, 12, 31), None],
    ),
    "s": (
        "timestamp without time zone", "timestamp", pa.timestamp("us"),
        [*map(dt.datetime.fromisoformat, (
            "1970-01-01", "2026-11-22T07:08:09.123456", "0001-01-01", "1999-12-31T23:59:59.999999",
            "2000-01-01",
        )), None],
    ),
    "z": (
        "timestamp with time zone", "instant", pa.timestamp("us", "UTC"),
        [dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(2026, 11, 22, 7, tzinfo=UTC),
         dt.datetime(1900, 5, 5, 5, 5, 5, 5, tzinfo=UTC), dt.datetime(2000, 1, 1, tzinfo=UTC),
         dt.datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), None],
    ),
}  # fmt: skip


class Odd:
    """A table with a column of each type, its profile, and what its filler has filled."""

    def __init__(self, dsn):
        self.dsn = dsn
        with psycopg.connect(dsn, autocommit=True) as admin:
            self.types = TYPES
            columns = ", ".join(f"{name} {facts[0]}" for name, facts in self.types.items())
            admin.execute(f"CREATE TABLE odd (ord integer NOT NULL, {columns})")
            marks = ", ".join(["%s"] * (len(self.types) + 1))
            for row in range(6):
                values = [facts[3][row] for facts in self.types.values()]
                admin.execute(f"INSERT INTO odd VALUES ({marks})", [row, *values])
        self.columns = (
            Column("ord", "integer", "public", "none", "number"),
            *(
                Column(name, facts[0], "protected", "direct", "key", f"space-{name}")
                for name, facts in self.types.items()
            ),
        )
        self.dataset = Dataset("d", "x", "", (Table("public", "odd", self.columns),))
        self.site = site_database(dsn, tables="SELECT 1")
        self.filler = MappingFiller(self.site.connect, lambda _: SECRET)
        bound = self.site.bound("c" * 64, (self.dataset,))
        forms = {("odd", name): "pseudonym" for name in self.types} | {("odd", "ord"): "raw"}
        self.profile = compile_profile(
            decision(forms, "d"), (self.dataset,), database=self.site.database, domain=DOMAIN,
            key_id=key_name(), bound=bound, found=self.site.found((self.dataset,)),
        )  # fmt: skip
        self.password = self.site.ensure_profile(self.profile)
        self.filler.add(DOMAIN, self.profile.maps)
        self.filler.ensure(each.id for each in self.profile.maps)

    def shown(self):
        login = make_conninfo(self.dsn, user=self.profile.role, password=self.password)
        with psycopg.connect(login) as session:
            rows = session.execute(f"SELECT {', '.join(self.types)} FROM odd ORDER BY ord").fetchall()
        return {name: [row[place] for row in rows] for place, name in enumerate(self.types)}

    def place(self, name, domain=DOMAIN):
        table = self.site.found((self.dataset,))["public", "odd"]
        column = next(each for each in self.columns if each.name == name)
        base = table.column(name)
        key = key_id(SECRET, domain)
        return Place(table, base, map_plan(column, self.dataset, self.dataset.tables[0], base, key))

    def back(self, name, pseudonyms, *, mapped, domain=DOMAIN):
        with self.site.connect() as connection:
            return lead_back(connection, self.place(name, domain), SECRET, domain, pseudonyms, mapped=mapped)

    def texts(self, name):
        with self.site.connect() as connection:
            rows = connection.execute(f"SELECT {name}::text FROM public.odd ORDER BY ord").fetchall()
        return [row[0] for row in rows]

    def close(self):
        self.filler.close()
        self.site.close()


@pytest.fixture(scope="module")
def odd(postgres_server):
    name = f"odd_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with contextlib.closing(Odd(postgres_server.admin_dsn(name))) as made:
        yield made
    with psycopg.connect(postgres_server.admin_dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {made.profile.role}")


def kernel_column(name, facts):
    _, kind, arrow, values = facts
    raw = [each.bytes if isinstance(each, uuid.UUID) else each for each in values]
    kernel = Pseudonymiser(derive_key(SECRET, DOMAIN, f"space-{name}", kind), kind)
    made = kernel.column(pa.array(raw, arrow)).to_pylist()
    return [None if each is None else uuid.UUID(bytes=each) for each in made]


def test_the_database_shows_the_bytes_of_the_columnar_kernel(odd):
    shown = odd.shown()
    for name, facts in odd.types.items():
        assert shown[name] == kernel_column(name, facts), name


@pytest.mark.parametrize("name", TYPES)
def test_pseudonyms_lead_back_by_the_table_and_without_it(odd, name):
    pseudonyms = [each for each in odd.shown()[name] if each is not None]
    texts = odd.texts(name)[: len(pseudonyms)]
    nobody = uuid.uuid4()
    for mapped in (True, False):
        found = odd.back(name, [*pseudonyms, nobody], mapped=mapped)
        got = {each: behind.text.rstrip() if name == "c" else behind.text for each, behind in found.items()}
        # the two writings of one name are one person: either may be shown
        wanted = dict(
            zip(pseudonyms, (each.rstrip() if name == "c" else each for each in texts), strict=True)
        )
        if name == "t":
            got.pop(pseudonyms[0])
            wanted.pop(pseudonyms[0])
        assert got == wanted, (name, mapped)


def test_another_domain_or_secret_leads_nowhere(odd):
    pseudonyms = [each for each in odd.shown()["k"] if each is not None]
    assert odd.back("k", pseudonyms, mapped=False, domain=OTHER) == {}
    assert odd.back("j", pseudonyms, mapped=False) == {}
    with odd.site.connect() as connection:
        place = odd.place("k")
        assert (
            lead_back(connection, place, EpochSecret(bytes(32), NEWEST), DOMAIN, pseudonyms, mapped=False)
            == {}
        )


def test_what_stands_wrongly_in_the_table_leads_nowhere(odd):
    plan = odd.place("i").plan
    forged = uuid.uuid4()
    with odd.site.connect() as connection:
        connection.execute(f"UPDATE ringfort.{plan.table} SET pseudonym = %s WHERE raw = 1", (forged,))
        assert odd.back("i", [forged], mapped=True) == {}
        (right,) = codec_of(odd.place("i"), SECRET, DOMAIN).pseudonyms([((1).to_bytes(2, "big"),)])
        connection.execute(
            f"UPDATE ringfort.{plan.table} SET pseudonym = %s WHERE raw = 1", (uuid.UUID(bytes=right),)
        )


def test_somebody_who_was_deleted_is_led_back_to_by_nothing(odd):
    (gone,) = [each for each, value in zip(odd.shown()["j"], TYPES["j"][3], strict=True) if value == 17850]
    assert odd.back("j", [gone], mapped=True)[gone].text == "17850"
    table = odd.place("j").plan.table
    with odd.site.connect() as connection:
        connection.execute("UPDATE public.odd SET j = NULL WHERE j = 17850")
        still = connection.execute(f"SELECT FROM ringfort.{table} WHERE raw = 17850").rowcount
        assert still == 1  # the filler has not been there yet
        for mapped in (True, False):
            assert odd.back("j", [gone], mapped=mapped) == {}
        for kept in odd.filler._maps.values():
            kept.pruned, kept.to_prune = time.monotonic() - 1000, True
        odd.filler.round()
        assert connection.execute(f"SELECT FROM ringfort.{table} WHERE raw = 17850").rowcount == 0
        connection.execute("UPDATE public.odd SET j = 17850 WHERE ord = 3")
        odd.filler.round()
    # what a MAC without a state cannot give: with the secret, a guess is confirmed as ever
    kernel = Pseudonymiser(derive_key(SECRET, DOMAIN, "space-j", "number"), "number")
    assert uuid.UUID(bytes=kernel.column(pa.array([17850])).to_pylist()[0]) == gone


def test_a_column_of_many_is_scanned_in_batches(odd):
    with odd.site.connect() as connection:
        connection.execute(
            "CREATE TABLE public.many AS SELECT 'p' || n AS t FROM generate_series(1, 70000) AS n"
        )
        table = replace(
            odd.dataset.tables[0], name="many", columns=(Column("t", "text", "protected", "direct", "key"),)
        )
        dataset = replace(odd.dataset, tables=(table,))
        bound = odd.site.found((dataset,))["public", "many"]
        base = bound.column("t")
        place = Place(bound, base, map_plan(table.columns[0], dataset, table, base, key_name()))
        keys = [(f"p{each}".encode(),) for each in (1, 35_000, 70_000)]
        wanted = [uuid.UUID(bytes=each) for each in codec_of(place, SECRET, DOMAIN).pseudonyms(keys)]
        found = lead_back(connection, place, SECRET, DOMAIN, wanted, mapped=False)
        assert [found[each].text for each in wanted] == ["p1", "p35000", "p70000"]
        connection.execute("DROP TABLE public.many")


@pytest.mark.parametrize(("method", "kind"), [("siv", "name"), ("ff1", "code")])
def test_written_forms_lead_back_to_the_column_s_own_writing(odd, method, kind):
    texts = ["AB12345678", "00-11-22-33-44", "Zo\u00eb 1234567890"]
    with odd.site.connect() as connection:
        connection.execute("CREATE TABLE public.written (t text)")
        for each in [*texts, None, ""]:
            connection.execute("INSERT INTO public.written VALUES (%s)", (each,))
        column = Column("t", "text", "protected", "direct", kind)
        table = replace(odd.dataset.tables[0], name="written", columns=(column,))
        dataset = replace(odd.dataset, tables=(table,))
        bound = odd.site.found((dataset,))["public", "written"]
        place = Place(
            bound, bound.column("t"), map_plan(column, dataset, table, bound.column("t"), key_name())
        )
        maker = WrittenMaker(method, kind, place.plan.identity_space, SECRET, DOMAIN)
        made = {new: old for new, old in zip(maker.make(texts), texts, strict=True) if new is not None}
        assert len(made) >= 2
        assert lead_back_written(connection, place, maker, [*made, "nobody's"]) == made
        other = WrittenMaker(method, kind, place.plan.identity_space, SECRET, OTHER)
        assert lead_back_written(connection, place, other, list(made)) == {}
        connection.execute("DELETE FROM public.written WHERE t = %s", (texts[0],))
        assert texts[0] not in lead_back_written(connection, place, maker, list(made)).values()
        connection.execute("DROP TABLE public.written")
