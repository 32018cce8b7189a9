"""What a change of tables reaches, in a real database: each way by itself, in rings, through neighbours."""

# ruff: noqa: E501 - statements read best whole

import psycopg
import pytest

from ringfort.gateway.provisioner_reach import missing, numbers_of, reach

TABLES = """
CREATE TABLE a (id int PRIMARY KEY, code text UNIQUE, note text);
CREATE TABLE far (id int PRIMARY KEY);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION reckoned(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'x' || $1 $$;
CREATE FUNCTION event_touched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
"""
# what is made, then which tables are reached from `a`, then what is set off
WAYS = {
    "nothing": ("SELECT 1", [], []),
    "no action": ("CREATE TABLE b (a int REFERENCES a)", [], []),
    "restrict": ("CREATE TABLE b (a int REFERENCES a ON DELETE RESTRICT ON UPDATE RESTRICT)", [], []),
    "delete cascade": ("CREATE TABLE b (a int REFERENCES a ON DELETE CASCADE)", ["b"], []),
    "update cascade": ("CREATE TABLE b (a text REFERENCES a (code) ON UPDATE CASCADE)", ["b"], []),
    "set null": ("CREATE TABLE b (a int REFERENCES a ON DELETE SET NULL)", ["b"], []),
    "set default": ("CREATE TABLE b (a int DEFAULT 1 REFERENCES a ON DELETE SET DEFAULT)", ["b"], []),
    "in another schema": (
        "CREATE SCHEMA other; CREATE TABLE other.b (a int REFERENCES a ON DELETE CASCADE)", ["other.b"], []),
    "two steps": (
        ("CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE);"
        "CREATE TABLE c (b int REFERENCES b ON DELETE SET NULL)"), ["b", "c"], []),
    "in a ring": (
        ("CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE);"
        "ALTER TABLE a ADD FOREIGN KEY (id) REFERENCES b ON DELETE CASCADE"), ["b"], []),
    "to itself": ("ALTER TABLE a ADD up int REFERENCES a ON DELETE CASCADE", [], []),
    "child": ("CREATE TABLE b () INHERITS (a)", ["b"], []),
    "child of a child": ("CREATE TABLE b () INHERITS (a); CREATE TABLE c () INHERITS (b)", ["b", "c"], []),
    "child and cascade": (
        ("CREATE TABLE b (PRIMARY KEY (id)) INHERITS (a);"
        "CREATE TABLE c (b int REFERENCES b ON DELETE CASCADE)"), ["b", "c"], []),
    "trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION touched()", [],
        ["trigger t on public.a"]),
    "constraint trigger": (
        "CREATE CONSTRAINT TRIGGER t AFTER DELETE ON a FOR EACH ROW EXECUTE FUNCTION touched()", [],
        ["trigger t on public.a"]),
    "disabled trigger": (
        ("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION touched();"
        "ALTER TABLE a DISABLE TRIGGER t"), [], []),
    "trigger on a neighbour": (
        ("CREATE TABLE b (a int REFERENCES a ON DELETE CASCADE);"
        "CREATE TRIGGER t BEFORE DELETE ON b FOR EACH ROW EXECUTE FUNCTION touched()"), ["b"],
        ["trigger t on public.b"]),
    "trigger elsewhere": (
        "CREATE TRIGGER t BEFORE DELETE ON far FOR EACH ROW EXECUTE FUNCTION touched()", [], []),
    "rule": (
        "CREATE RULE r AS ON INSERT TO a DO ALSO INSERT INTO far VALUES (1)", [], ["rule r on public.a"]),
    "event trigger": (
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION event_touched()", [], ["event trigger e"]),
    "default": (
        "ALTER TABLE a ALTER note SET DEFAULT reckoned('a')", [], ["function public.reckoned(text) of public.a"]),
    "generated": (
        "ALTER TABLE a ADD g text GENERATED ALWAYS AS (reckoned(note)) STORED", [],
        ["function public.reckoned(text) of public.a"]),
    "check": (
        "ALTER TABLE a ADD CHECK (reckoned(note) <> '')", [], ["function public.reckoned(text) of public.a"]),
    "index": (
        "CREATE INDEX ON a (reckoned(note))", [], ["function public.reckoned(text) of public.a"]),
    "partial index": (
        "CREATE INDEX ON a (id) WHERE reckoned(note) = 'x'", [], ["function public.reckoned(text) of public.a"]),
    "policy": (
        "CREATE POLICY p ON a USING (reckoned(note) = 'x')", [], ["function public.reckoned(text) of public.a"]),
    "domain": (
        "CREATE DOMAIN d AS text CHECK (reckoned(VALUE) <> ''); ALTER TABLE a ADD x d", [],
        ["function public.reckoned(text)"]),
    "domain of a domain, in an array": (
        "CREATE DOMAIN d AS text CHECK (reckoned(VALUE) <> ''); CREATE DOMAIN e AS d; ALTER TABLE a ADD x e[]", [],
        ["function public.reckoned(text)"]),
    "operator": (
        ("CREATE FUNCTION same(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR ~~~~ (FUNCTION = same, LEFTARG = text, RIGHTARG = text);"
        "ALTER TABLE a ADD CHECK (note OPERATOR(public.~~~~) 'x')"), [],
        ["operator public.~~~~(text,text) of public.a"]),
    "sequence of its own": (
        "ALTER TABLE a ADD n serial, ADD i bigint GENERATED ALWAYS AS IDENTITY", [], []),
    "sequence of others": (
        "CREATE SEQUENCE s; ALTER TABLE a ALTER id SET DEFAULT nextval('s')", [],
        ["sequence public.s of public.a"]),
}  # fmt: skip


@pytest.fixture
def admin(fresh_database):
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


def reached(admin, *names):
    admin.execute("SET search_path = pg_catalog")
    found = reach(admin, numbers_of(admin, [("public", name) for name in names or ("a",)]))
    admin.execute("RESET search_path")
    return found


@pytest.mark.parametrize("way", WAYS)
def test_each_way(admin, way):
    made, tables, effects = WAYS[way]
    admin.execute(made)
    found = reached(admin)
    wanted = sorted(each if "." in each else f"public.{each}" for each in tables)
    assert [name for name, _ in found.tables] == wanted
    assert list(found.effects) == effects
    assert all(why for _, why in found.tables)
    # what is granted is not missing; what is not, is
    assert bool(missing(found, effects)) == bool(tables)
    assert bool(missing(found, ())) == bool(tables or effects)


def test_what_is_asked_for_is_not_reached_beside_itself(admin):
    admin.execute("CREATE TABLE b (a int REFERENCES a ON DELETE CASCADE)")
    assert reached(admin, "a", "b").tables == ()
    assert reached(admin, "b").tables == ()


def test_partitions(admin):
    admin.execute("CREATE TABLE p (id int, b text) PARTITION BY RANGE (id)")
    admin.execute("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    admin.execute("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (b)")
    admin.execute("CREATE TABLE p3 PARTITION OF p2 DEFAULT")
    admin.execute("CREATE TRIGGER t AFTER INSERT ON p3 FOR EACH ROW EXECUTE FUNCTION touched()")
    found = reached(admin, "p")
    assert [name for name, _ in found.tables] == ["public.p1", "public.p2", "public.p3"]
    assert found.effects == ("trigger t on public.p3",)
    assert reached(admin, "p1").tables == ()


def test_partition_key_by_a_function(admin):
    admin.execute("CREATE TABLE p (id int, b text) PARTITION BY HASH (reckoned(b))")
    assert reached(admin, "p").effects == ("function public.reckoned(text) of public.p",)


def test_an_effect_that_came_later_is_missing(admin):
    admin.execute("CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION touched()")
    named = reached(admin).effects
    assert not missing(reached(admin), named)
    admin.execute("CREATE TRIGGER u BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION touched()")
    assert "trigger u" in missing(reached(admin), named)
    assert "trigger t" not in missing(reached(admin), named)
