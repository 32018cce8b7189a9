-- Stand-ins for functions and casts that name objects, in the schema of the copies (catalog_copies.py). Each is
-- parted from the next by an empty line. SECURITY INVOKER, so that they see what the copies show; a name becomes
-- a number, a number becomes a text, and nothing is ever of a type such as regclass. A body without a subquery is
-- put in the place of the call by the server, so what the server was made with costs no call.

CREATE FUNCTION ringfort_catalog.shows_composite(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT EXISTS (SELECT FROM ringfort_catalog.pg_class AS c WHERE c.oid = $1) $function$

CREATE FUNCTION ringfort_catalog.shows_own_relation(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT CASE (SELECT CASE WHEN n.nspname = current_user THEN 1 WHEN c.relkind = 'c' THEN 2 END
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1)
    WHEN 1 THEN true WHEN 2 THEN ringfort_catalog.shows_composite($1) ELSE false END $function$

CREATE FUNCTION ringfort_catalog.shows_relation(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $1 < 16384 OR ringfort_catalog.shows_own_relation($1) $function$

CREATE FUNCTION ringfort_catalog.shows_other_type(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT EXISTS (SELECT FROM ringfort_catalog.pg_type AS t WHERE t.oid = $1) $function$

CREATE FUNCTION ringfort_catalog.shows_own_type(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT CASE (SELECT CASE WHEN n.nspname = current_user THEN 1 ELSE 2 END
    FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace WHERE t.oid = $1)
    WHEN 1 THEN true WHEN 2 THEN ringfort_catalog.shows_other_type($1) ELSE false END $function$

CREATE FUNCTION ringfort_catalog.shows_type(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $1 < 16384 OR ringfort_catalog.shows_own_type($1) $function$

CREATE FUNCTION ringfort_catalog.shows_other_schema(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT EXISTS (SELECT FROM ringfort_catalog.pg_namespace AS n WHERE n.oid = $1) $function$

CREATE FUNCTION ringfort_catalog.shows_schema(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1::pg_catalog.regnamespace::pg_catalog.text IN
    ('pg_catalog', 'information_schema', 'pg_toast', pg_catalog.quote_ident(current_user)) THEN true
    ELSE ringfort_catalog.shows_other_schema($1) END $function$

CREATE FUNCTION ringfort_catalog.shows_name(text) RETURNS boolean LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN pg_catalog.strpos($1, '.') = 0 THEN true ELSE EXISTS (
    SELECT FROM ringfort_catalog.pg_namespace AS n
    WHERE n.nspname = (pg_catalog.parse_ident(pg_catalog.split_part($1, '(', 1), false))[1]) END $function$

CREATE FUNCTION ringfort_catalog.regclass(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN ringfort_catalog.shows_relation($1) THEN $1::pg_catalog.regclass::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regtype(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN ringfort_catalog.shows_type($1) THEN $1::pg_catalog.regtype::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regproc(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regproc::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regprocedure(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regprocedure::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regoper(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regoper::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regoperator(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regoperator::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regcollation(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regcollation::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regconfig(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regconfig::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regdictionary(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN $1::pg_catalog.regdictionary::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regnamespace(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 = 0 OR ringfort_catalog.shows_schema($1) THEN $1::pg_catalog.regnamespace::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regrole(oid) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 = 0 OR pg_catalog.pg_get_userbyid($1) = current_user THEN $1::pg_catalog.regrole::pg_catalog.text ELSE $1::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.regclass(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid ELSE (
    SELECT c.oid FROM pg_catalog.parse_ident($1) AS p(parts)
    JOIN pg_catalog.pg_class AS c ON c.relname = p.parts[pg_catalog.cardinality(p.parts)]::pg_catalog.name
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (c.oid < 16384 OR n.nspname = current_user) AND n.nspname::pg_catalog.text = ANY (CASE pg_catalog.cardinality(p.parts)
        WHEN 1 THEN ARRAY['pg_catalog', current_user::pg_catalog.text] WHEN 2 THEN p.parts[1:1] END)
    ORDER BY n.nspname = current_user DESC LIMIT 1) END $function$

CREATE FUNCTION ringfort_catalog.shown_type_named(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 LIKE '%[]' THEN t.typarray ELSE t.oid END
FROM pg_catalog.parse_ident(CASE WHEN $1 ~ '^["_[:alpha:]]' THEN pg_catalog.split_part($1, '[', 1) END, false) AS p(parts)
JOIN ringfort_catalog.pg_type AS t ON t.typname = p.parts[pg_catalog.cardinality(p.parts)]::pg_catalog.name
JOIN ringfort_catalog.pg_namespace AS n ON n.oid = t.typnamespace
WHERE t.oid >= 16384 AND (pg_catalog.cardinality(p.parts) = 1
    OR (pg_catalog.cardinality(p.parts) = 2 AND n.nspname = p.parts[1]::pg_catalog.name))
ORDER BY n.nspname = current_user DESC, n.nspname LIMIT 1 $function$

CREATE FUNCTION ringfort_catalog.regtype(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid
    WHEN pg_catalog.strpos($1, '.') = 0
    OR (pg_catalog.parse_ident(pg_catalog.split_part($1, '(', 1), false))[1] IN ('pg_catalog', 'information_schema', current_user)
    THEN COALESCE((SELECT t.type FROM (SELECT pg_catalog.to_regtype($1)::pg_catalog.oid) AS t(type)
        WHERE ringfort_catalog.shows_type(t.type)), ringfort_catalog.shown_type_named($1))
    WHEN ringfort_catalog.shows_name($1) THEN ringfort_catalog.shown_type_named($1) END $function$

CREATE FUNCTION ringfort_catalog.regproc(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid WHEN ringfort_catalog.shows_name($1) THEN (
    SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.oid = pg_catalog.to_regproc($1) AND p.oid < 16384) END $function$

CREATE FUNCTION ringfort_catalog.regprocedure(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid WHEN ringfort_catalog.shows_name($1) AND $1 !~ '\(.*[.].*\)' THEN (
    SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.oid = pg_catalog.to_regprocedure($1) AND p.oid < 16384) END $function$

CREATE FUNCTION ringfort_catalog.regoper(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid WHEN pg_catalog.strpos(pg_catalog.replace($1, 'pg_catalog.', ''), '.') = 0
    THEN pg_catalog.to_regoper($1)::pg_catalog.oid END $function$

CREATE FUNCTION ringfort_catalog.regoperator(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid WHEN pg_catalog.strpos(pg_catalog.replace($1, 'pg_catalog.', ''), '.') = 0
    THEN pg_catalog.to_regoperator($1)::pg_catalog.oid END $function$

CREATE FUNCTION ringfort_catalog.regnamespace(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid ELSE (
    SELECT n.oid FROM ringfort_catalog.pg_namespace AS n WHERE ARRAY[n.nspname::pg_catalog.text] = pg_catalog.parse_ident($1)) END $function$

CREATE FUNCTION ringfort_catalog.regrole(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid ELSE (SELECT r.oid FROM pg_catalog.pg_roles AS r
    WHERE r.rolname = current_user AND ARRAY[r.rolname::pg_catalog.text] = pg_catalog.parse_ident($1)) END $function$

CREATE FUNCTION ringfort_catalog.regcollation(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]{1,10}$' THEN $1::pg_catalog.oid ELSE (SELECT c.oid FROM pg_catalog.parse_ident($1) AS p(parts)
    JOIN pg_catalog.pg_collation AS c ON c.collname = p.parts[pg_catalog.cardinality(p.parts)]::pg_catalog.name WHERE c.oid < 16384
    AND (pg_catalog.cardinality(p.parts) = 1 OR p.parts[1] = 'pg_catalog') LIMIT 1) END $function$

CREATE FUNCTION ringfort_catalog.regconfig(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]+$' THEN
    CASE WHEN $1 ~ '^0*[0-9]{1,5}$' AND $1::pg_catalog.oid < 16384 THEN $1::pg_catalog.oid END ELSE (SELECT c.oid FROM pg_catalog.parse_ident($1) AS p(parts)
    JOIN pg_catalog.pg_ts_config AS c ON c.cfgname = p.parts[pg_catalog.cardinality(p.parts)]::pg_catalog.name WHERE c.oid < 16384
    AND (pg_catalog.cardinality(p.parts) = 1 OR p.parts[1] = 'pg_catalog') LIMIT 1) END $function$

CREATE FUNCTION ringfort_catalog.regdictionary(text) RETURNS oid LANGUAGE sql STABLE STRICT AS $function$
SELECT CASE WHEN $1 = '-' THEN 0::pg_catalog.oid WHEN $1 ~ '^[0-9]+$' THEN
    CASE WHEN $1 ~ '^0*[0-9]{1,5}$' AND $1::pg_catalog.oid < 16384 THEN $1::pg_catalog.oid END ELSE (SELECT c.oid FROM pg_catalog.parse_ident($1) AS p(parts)
    JOIN pg_catalog.pg_ts_dict AS c ON c.dictname = p.parts[pg_catalog.cardinality(p.parts)]::pg_catalog.name WHERE c.oid < 16384
    AND (pg_catalog.cardinality(p.parts) = 1 OR p.parts[1] = 'pg_catalog') LIMIT 1) END $function$

CREATE FUNCTION ringfort_catalog.to_regclass(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regclass($1) $function$

CREATE FUNCTION ringfort_catalog.to_regtype(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regtype($1) $function$

CREATE FUNCTION ringfort_catalog.to_regproc(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regproc($1) $function$

CREATE FUNCTION ringfort_catalog.to_regprocedure(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regprocedure($1) $function$

CREATE FUNCTION ringfort_catalog.to_regnamespace(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regnamespace($1) $function$

CREATE FUNCTION ringfort_catalog.to_regrole(text) RETURNS oid LANGUAGE sql STABLE AS $function$
SELECT ringfort_catalog.regrole($1) $function$

CREATE FUNCTION ringfort_catalog.format_type(oid, integer) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN ringfort_catalog.shows_type($1) THEN pg_catalog.format_type($1, $2)
    WHEN $1 IS NOT NULL THEN '???' END $function$

CREATE FUNCTION ringfort_catalog.oidvectortypes(oidvector) RETURNS text LANGUAGE sql STABLE STRICT AS $function$
SELECT COALESCE(pg_catalog.string_agg(ringfort_catalog.format_type(t.type, NULL), ', ' ORDER BY t.place), '')
FROM pg_catalog.unnest($1) WITH ORDINALITY AS t(type, place) $function$

CREATE FUNCTION ringfort_catalog.pg_get_userbyid(oid) RETURNS name LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN pg_catalog.pg_get_userbyid($1) = current_user THEN current_user
    ELSE ('unknown (OID=' || $1::pg_catalog.text || ')')::pg_catalog.name END $function$

CREATE FUNCTION ringfort_catalog.pg_table_is_visible(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN ringfort_catalog.shows_relation($1) THEN pg_catalog.pg_table_is_visible($1) END $function$

CREATE FUNCTION ringfort_catalog.pg_type_is_visible(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN ringfort_catalog.shows_type($1) THEN pg_catalog.pg_type_is_visible($1) END $function$

CREATE FUNCTION ringfort_catalog.obj_description(oid, name) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 AND $1 <> 2200 THEN pg_catalog.obj_description($1, $2) END $function$

CREATE FUNCTION ringfort_catalog.obj_description(oid) RETURNS text LANGUAGE sql STABLE STRICT AS $function$
SELECT d.description FROM pg_catalog.pg_description AS d
WHERE d.objoid = $1 AND d.objsubid = 0 AND $1 < 16384 AND $1 <> 2200 LIMIT 1 $function$

CREATE FUNCTION ringfort_catalog.col_description(oid, integer) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 < 16384 THEN pg_catalog.col_description($1, $2) END $function$

CREATE FUNCTION ringfort_catalog.current_setting(text) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN pg_catalog.lower($1) = ANY ({showable}) THEN pg_catalog.current_setting($1) END $function$

CREATE FUNCTION ringfort_catalog.current_setting(text, boolean) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN pg_catalog.lower($1) = ANY ({showable}) THEN pg_catalog.current_setting($1, $2) END $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(name, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $1 = current_user $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(oid, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.pg_get_userbyid($1) = current_user $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(name, name, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $1 = current_user AND $2 = current_user $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(name, oid, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $1 = current_user AND pg_catalog.pg_get_userbyid($2) = current_user $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(oid, name, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT $2 = current_user AND pg_catalog.pg_get_userbyid($1) = current_user $function$

CREATE FUNCTION ringfort_catalog.pg_has_role(oid, oid, text) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.pg_get_userbyid($1) = current_user AND pg_catalog.pg_get_userbyid($2) = current_user $function$

CREATE FUNCTION ringfort_catalog.acldefault("char", oid) RETURNS text[] LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN pg_catalog.pg_get_userbyid($2) = current_user THEN pg_catalog.acldefault($1, $2)::pg_catalog.text[] END $function$

CREATE FUNCTION ringfort_catalog.aclexplode(text[], OUT grantor oid, OUT grantee oid, OUT privilege_type text, OUT is_grantable boolean)
RETURNS SETOF record LANGUAGE sql STABLE STRICT AS $function$
SELECT x.grantor, x.grantee, x.privilege_type, x.is_grantable FROM pg_catalog.aclexplode(CASE WHEN NOT EXISTS (
    SELECT FROM pg_catalog.unnest($1) AS i(item)
    WHERE (i.item ~ ('^(' || current_user || ')?=([a-zA-Z][*]?)*/' || current_user || '$')) IS NOT TRUE
) THEN $1::pg_catalog.aclitem[] END) AS x $function$

CREATE FUNCTION ringfort_catalog.age(timestamptz) RETURNS interval LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.age($1) $function$

CREATE FUNCTION ringfort_catalog.age(timestamp) RETURNS interval LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.age($1) $function$

CREATE FUNCTION ringfort_catalog.age(timestamptz, timestamptz) RETURNS interval LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.age($1, $2) $function$

CREATE FUNCTION ringfort_catalog.age(timestamp, timestamp) RETURNS interval LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.age($1, $2) $function$

-- what the server says of rows that are frozen; of others it would count everybody's transactions
CREATE FUNCTION ringfort_catalog.age(xid) RETURNS integer LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN $1 IS NOT NULL THEN 2147483647 END $function$

CREATE FUNCTION ringfort_catalog.ts_headline(text, tsquery, text) RETURNS text LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.ts_headline($1, $2, $3) $function$

CREATE FUNCTION ringfort_catalog.ts_headline(json, tsquery, text) RETURNS json LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.ts_headline($1, $2, $3) $function$

CREATE FUNCTION ringfort_catalog.ts_headline(jsonb, tsquery, text) RETURNS jsonb LANGUAGE sql STABLE AS $function$
SELECT pg_catalog.ts_headline($1, $2, $3) $function$

CREATE FUNCTION ringfort_catalog.ts_token_type(oid, OUT tokid integer, OUT alias text, OUT description text)
RETURNS SETOF record LANGUAGE sql STABLE STRICT AS $function$
SELECT t.tokid, t.alias, t.description FROM pg_catalog.ts_token_type(CASE WHEN $1 < 16384 THEN $1 END) AS t $function$

CREATE FUNCTION ringfort_catalog.ts_token_type(text, OUT tokid integer, OUT alias text, OUT description text)
RETURNS SETOF record LANGUAGE sql STABLE STRICT AS $function$
SELECT t.tokid, t.alias, t.description FROM pg_catalog.ts_token_type(CASE WHEN $1 IN ('default', 'pg_catalog.default') THEN 3722::pg_catalog.oid END) AS t $function$

CREATE FUNCTION ringfort_catalog.get_current_ts_config() RETURNS text LANGUAGE sql STABLE AS $function$
SELECT CASE WHEN pg_catalog.get_current_ts_config()::pg_catalog.oid < 16384 THEN pg_catalog.get_current_ts_config()::pg_catalog.text END $function$

CREATE FUNCTION ringfort_catalog.pg_is_other_temp_schema(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT false AND $1 IS NULL $function$

CREATE FUNCTION ringfort_catalog.pg_relation_is_publishable(oid) RETURNS boolean LANGUAGE sql STABLE AS $function$
SELECT false AND $1 IS NULL $function$

CREATE FUNCTION ringfort_catalog.pg_partition_ancestors(oid, OUT relid oid) RETURNS SETOF oid LANGUAGE sql STABLE STRICT AS $function$
SELECT $1 WHERE false $function$

CREATE FUNCTION ringfort_catalog.pg_partition_tree(oid, OUT relid oid, OUT parentrelid oid, OUT isleaf boolean,
    OUT level integer) RETURNS SETOF record LANGUAGE sql STABLE STRICT AS $function$
SELECT $1, $1, true, 0 WHERE false $function$
