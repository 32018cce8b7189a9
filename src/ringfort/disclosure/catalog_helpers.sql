-- What the copies of the catalogue look up (catalog_copies.py): made before them, not for profile roles. Each is
-- parted from the next by an empty line.

-- Types of shown columns that the server was not made with, what they consist of, and the views' row types. In a
-- function, so that the estimate of its rows is ours: the planner's own of the recursion makes it compile plans.
CREATE FUNCTION ringfort_catalog.shown_types() RETURNS SETOF oid LANGUAGE sql STABLE STRICT ROWS 20 SET jit = off
AS $function$
WITH RECURSIVE found(oid) AS (
    SELECT t.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_type AS t ON t.oid = c.reltype
    WHERE c.relnamespace = {own}
    UNION
    SELECT a.atttypid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = {own} AND a.attnum > 0 AND a.atttypid >= 16384
    UNION
    SELECT x.oid FROM found AS f JOIN pg_catalog.pg_type AS t ON t.oid = f.oid CROSS JOIN LATERAL (
        VALUES (t.typelem), (t.typarray), (t.typbasetype)
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngmultitypid FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.oid = t.typrelid AND c.relkind = 'c' AND a.attnum > 0
    ) AS x(oid) WHERE x.oid >= 16384
)
SELECT f.oid FROM found AS f $function$

CREATE VIEW ringfort_catalog.shown_type WITH (security_barrier = true) AS
SELECT t.oid FROM ringfort_catalog.shown_types() AS t(oid)

CREATE VIEW ringfort_catalog.shown_relation WITH (security_barrier = true) AS
SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = {own}
UNION SELECT c.oid FROM ringfort_catalog.shown_types() AS s(oid) JOIN pg_type AS t ON t.oid = s.oid
JOIN pg_class AS c ON c.oid = t.typrelid WHERE c.relkind = 'c' AND c.relnamespace <> {own}

CREATE VIEW ringfort_catalog.shown_schema WITH (security_barrier = true) AS
SELECT n.oid FROM pg_namespace AS n
WHERE n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', current_user)
UNION SELECT t.typnamespace FROM pg_type AS t JOIN ringfort_catalog.shown_types() AS s(oid) ON s.oid = t.oid
