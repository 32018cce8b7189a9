"""What an operate session may send: writing to its own tables, and nothing else beside reading."""

import json

import pytest

from ringfort.disclosure.statements import Surface, judge

VIEW = Surface(frozenset({"orders", "people"}), "public", frozenset({"a", "b", "c", "id"}))
OPERATE = Surface(VIEW.relations, VIEW.schema, VIEW.columns, operate=True)
ALLOWED = [
    ("write", "INSERT INTO public.orders AS o (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b"),
    ("write", "INSERT INTO orders VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING a, orders.*"),
    ("write", "INSERT INTO orders SELECT * FROM people"),
    ("write", "INSERT INTO orders (a) WITH x AS (SELECT 1) SELECT * FROM x"),
    ("write", "INSERT INTO orders DEFAULT VALUES"),
    ("write", "UPDATE orders o SET a = 1, b = c + 1 FROM people p WHERE p.id = o.id RETURNING *"),
    ("write", "DELETE FROM ONLY orders USING people p WHERE p.id = 1"),
    ("write", "TRUNCATE orders, people RESTART IDENTITY"),
    ("write", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ix ON orders (a DESC, lower(b)) WHERE a > 1"),
    ("write", "ALTER TABLE orders ADD COLUMN x text NOT NULL DEFAULT 'a', ALTER z SET NOT NULL"),
    ("write", "ALTER TABLE orders ALTER z TYPE text USING z::text, ADD CHECK (a > 1), ALTER b DROP DEFAULT"),
    ("write", "ANALYZE orders (a)"),
    ("copy_in", "COPY public.orders (a, b) FROM STDIN WITH (FORMAT csv, HEADER true) WHERE a > 1"),
    ("copy_out", "COPY orders TO STDOUT"),
    ("copy_out", "COPY (SELECT 1) TO STDOUT"),
    ("read", "SELECT * FROM orders"),
    ("transaction", "BEGIN"),
]  # fmt: skip
REFUSED = [
    "INSERT INTO secrets VALUES (1)", "INSERT INTO pg_authid VALUES (1)", "UPDATE other.orders SET a = 1",
    "UPDATE pg_catalog.pg_class SET relname = 'x'", "INSERT INTO db.public.orders VALUES (1)",
    "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
    "WITH x AS (SELECT 1) INSERT INTO orders SELECT * FROM x",
    "COPY orders FROM PROGRAM 'id'", "COPY orders TO PROGRAM 'id'", "COPY orders FROM '/etc/passwd'",
    "COPY orders TO '/tmp/x'", "COPY secrets FROM STDIN", "COPY orders FROM STDIN (ENCODING 'latin1')",
    "SELECT 1; COPY orders FROM STDIN", "COPY orders FROM STDIN; SELECT 1",
    "COPY orders FROM STDIN WHERE pg_read_file('x') = 'y'",
    "DO $$ begin end $$", "CALL p()", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'",
    "CREATE EXTENSION x", "LOAD 'x'",
    "SET ROLE postgres", "RESET ROLE", "SET SESSION AUTHORIZATION x", "SET search_path = x",
    "ALTER SYSTEM SET a = 1", "ALTER ROLE x SUPERUSER", "GRANT SELECT ON orders TO PUBLIC",
    "GRANT keeper TO x", "REASSIGN OWNED BY a TO b",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER TABLE orders OWNER TO x", "ALTER TABLE orders SET TABLESPACE x", "ALTER TABLE orders SET SCHEMA x",
    "ALTER TABLE orders ENABLE TRIGGER ALL", "ALTER TABLE orders DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE orders RENAME TO b", "ALTER TABLE orders INHERIT people", "ALTER INDEX ix RENAME TO b",
    "ALTER TABLE orders ATTACH PARTITION people DEFAULT", "ALTER TABLE orders DROP COLUMN a CASCADE",
    "ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES secrets", "ALTER TABLE secrets ADD COLUMN a int",
    "ALTER TABLE orders ADD COLUMN x text DEFAULT pg_read_file('a')", "ALTER TABLE orders ADD COLUMN x evil",
    "ALTER TABLE orders ADD COLUMN x text REFERENCES secrets",
    "ALTER TABLE orders SET (autovacuum_enabled = off)",
    "CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION f()",
    "CREATE RULE r AS ON INSERT TO orders DO INSTEAD NOTHING", "CREATE POLICY p ON orders",
    "CREATE TABLE x (a int)", "CREATE TABLE x AS SELECT 1", "SELECT * INTO x FROM orders",
    "CREATE VIEW v AS SELECT 1", "CREATE INDEX ON orders (pg_read_file('x'))",
    "CREATE INDEX ON orders USING evil (a)", "CREATE INDEX ON secrets (a)",
    "CREATE INDEX ON orders (a evil_ops)",
    "DROP TABLE orders", "TRUNCATE orders CASCADE", "TRUNCATE orders, secrets",
    "COMMENT ON TABLE orders IS 'x'",
    "UPDATE orders SET a = pg_read_file('x')", "INSERT INTO orders SELECT lo_import('/etc/passwd')",
    "UPDATE orders SET a = (SELECT secret FROM secrets)", "DELETE FROM orders WHERE CURRENT OF c",
    "DELETE FROM orders USING secrets", "INSERT INTO orders VALUES (1) RETURNING pg_read_file('x')",
    "INSERT INTO orders VALUES (1) ON CONFLICT (lower(pg_read_file('x'))) DO NOTHING",
    "INSERT INTO orders (a) OVERRIDING SYSTEM VALUE VALUES (1)",
    "MERGE INTO orders USING people ON true WHEN MATCHED THEN DELETE",
    "ANALYZE", "ANALYZE secrets", "VACUUM FULL", "VACUUM orders", "CLUSTER orders", "REINDEX TABLE orders",
    "LOCK orders", "LISTEN x", "NOTIFY x", "EXPLAIN ANALYZE DELETE FROM orders",
    "PREPARE p AS INSERT INTO orders VALUES (1)", "REFRESH MATERIALIZED VIEW orders",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT * FROM orders FOR UPDATE",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sql"), ALLOWED)
def test_what_an_operate_session_may_send(kind, sql):
    verdict = judge(sql, OPERATE)
    assert (verdict.allowed, verdict.kind) == (True, kind)
    assert json.loads(verdict.shape)["statements"]
    if kind in {"write", "copy_in"}:
        assert verdict.literal_dependent  # never remembered by its form
        assert not judge(sql, VIEW).allowed


@pytest.mark.parametrize("sql", REFUSED)
def test_what_it_may_not(sql):
    verdict = judge(sql, OPERATE)
    assert not verdict.allowed
    assert verdict.sqlstate in {"42501", "0A000", "42P01"}
    assert verdict.reason


def test_the_shape_names_tables_and_no_value():
    shape = judge("UPDATE orders SET a = 'a secret', zz = 7 WHERE b = 'another'", OPERATE).shape
    assert json.loads(shape)["statements"][0]["into"] == ["orders"]
    assert not any(each in shape for each in ("secret", "another", "zz", "7"))


def test_the_most_that_a_text_does_is_its_kind():
    assert judge("SELECT 1; DELETE FROM orders", OPERATE).kind == "write"


def test_surfaces_are_told_apart():
    assert OPERATE.key != VIEW.key
    assert Surface.from_json(OPERATE.to_json()) == OPERATE
    assert Surface.from_json(VIEW.to_json()) == VIEW
    assert "operate" not in VIEW.to_json()
