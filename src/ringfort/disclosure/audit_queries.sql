-- The queries of the site audit: rows (severity, grantee, thing, privilege, remedy), one query for each sort of
-- access. Parameters: roles (profile roles of the database), owner (of the views), outside (extensions that reach
-- outside of the database). Run with search_path set to pg_catalog. Read by audit.py; DESIGN principle 3.

-- prologue: g is who a profile's role is in the eyes of the server; the others are what the queries share
WITH g AS (
    SELECT 0::oid AS oid, 'PUBLIC'::text AS name, 'PUBLIC'::text AS quoted
    UNION ALL
    SELECT oid, rolname::text, quote_ident(rolname) FROM pg_roles WHERE rolname = ANY (%(roles)s::name[])
), usable AS (
    SELECT n.oid, n.nspname, a.grantee FROM pg_namespace AS n
    CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
    WHERE a.privilege_type = 'USAGE' AND a.grantee IN (SELECT oid FROM g)
), given_at_initdb AS (
    SELECT i.classoid, i.objoid, i.objsubid, i.privtype, a.privilege_type
    FROM pg_init_privs AS i CROSS JOIN LATERAL aclexplode(i.initprivs) AS a WHERE a.grantee = 0
)

-- sort: role
SELECT 'surplus', r.rolname, r.rolname, x.attribute, format('ALTER ROLE %%I NO%%s', r.rolname, x.attribute)
FROM pg_roles AS r CROSS JOIN LATERAL (VALUES
    ('SUPERUSER', r.rolsuper), ('CREATEDB', r.rolcreatedb), ('CREATEROLE', r.rolcreaterole),
    ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls), ('INHERIT', r.rolinherit),
    ('LOGIN', r.rolcanlogin AND r.rolname = %(owner)s)
) AS x(attribute, held)
WHERE x.held AND (r.oid IN (SELECT oid FROM g) OR r.rolname = %(owner)s)

-- sort: membership
SELECT 'surplus', m.rolname, of.rolname, 'MEMBER', format('REVOKE %%I FROM %%I', of.rolname, m.rolname)
FROM pg_auth_members AS a JOIN pg_roles AS m ON m.oid = a.member JOIN pg_roles AS of ON of.oid = a.roleid
WHERE m.oid IN (SELECT oid FROM g) OR m.rolname = %(owner)s

-- sort: owned object
SELECT 'surplus', r.rolname, pg_describe_object(d.classid, d.objid, d.objsubid), 'OWNER', ''
FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND d.refobjid IN (SELECT oid FROM g)
AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))

-- sort: setting
SELECT 'surplus', r.rolname, split_part(c.setting, '=', 1), 'SET IN DATABASE',
format('ALTER ROLE %%I IN DATABASE %%I RESET ALL', r.rolname, current_database())
FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole CROSS JOIN LATERAL unnest(s.setconfig) AS c(setting)
WHERE s.setdatabase <> 0 AND s.setrole IN (SELECT oid FROM g)

-- sort: database
SELECT 'surplus', g.name, d.datname, a.privilege_type,
format('REVOKE %%s ON DATABASE %%I FROM %%s', a.privilege_type, d.datname, g.quoted)
FROM pg_database AS d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
JOIN g ON g.oid = a.grantee
WHERE d.datallowconn AND NOT (a.privilege_type = 'CONNECT' AND d.datname = current_database())

-- sort: schema
SELECT CASE WHEN a.privilege_type = 'USAGE' AND g.oid = 0 THEN 'noted' ELSE 'surplus' END,
g.name, n.nspname, a.privilege_type,
format('REVOKE %%s ON SCHEMA %%I FROM %%s', a.privilege_type, n.nspname, g.quoted)
FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
JOIN g ON g.oid = a.grantee
WHERE NOT (a.privilege_type = 'USAGE' AND n.nspname IN ('pg_catalog', 'information_schema', g.name, g.name || '_ordered'))
-- the filtered copies of the catalogue are for profile roles only
AND NOT (a.privilege_type = 'USAGE' AND g.oid <> 0 AND n.nspname IN ('ringfort_catalog', 'ringfort_catalog_system'))

-- sort: relation
SELECT CASE WHEN i.privtype = 'e' OR u.oid IS NULL THEN 'noted' ELSE 'surplus' END,
g.name, format('%%I.%%I', n.nspname, c.relname), a.privilege_type,
format('REVOKE %%s ON %%s %%I.%%I FROM %%s', a.privilege_type, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, g.quoted)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) AS a
JOIN g ON g.oid = a.grantee
LEFT JOIN usable AS u ON u.oid = n.oid AND u.grantee IN (0, g.oid)
LEFT JOIN given_at_initdb AS i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid AND i.objsubid = 0
    AND i.privilege_type = a.privilege_type AND g.oid = 0
WHERE i.privtype IS DISTINCT FROM 'i'
-- initdb makes information_schema after it has noted the initial privileges
AND NOT (n.nspname = 'information_schema' AND c.oid < 16384 AND a.privilege_type = 'SELECT')
AND NOT (a.privilege_type = 'SELECT' AND c.relkind = 'v' AND n.nspname IN (g.name, g.name || '_ordered')
    AND pg_get_userbyid(c.relowner) = %(owner)s)
AND NOT (a.privilege_type = 'SELECT' AND c.relkind = 'v' AND g.oid = 0
    AND n.nspname IN ('ringfort_catalog', 'ringfort_catalog_system') AND pg_get_userbyid(c.relowner) = %(owner)s)

-- sort: column
SELECT CASE WHEN i.privtype = 'e' OR u.oid IS NULL THEN 'noted' ELSE 'surplus' END,
g.name, format('%%I.%%I.%%I', n.nspname, c.relname, t.attname), a.privilege_type,
format('REVOKE %%s (%%I) ON %%I.%%I FROM %%s', a.privilege_type, t.attname, n.nspname, c.relname, g.quoted)
FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(t.attacl) AS a JOIN g ON g.oid = a.grantee
LEFT JOIN usable AS u ON u.oid = n.oid AND u.grantee IN (0, g.oid)
LEFT JOIN given_at_initdb AS i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid
    AND i.objsubid = t.attnum AND i.privilege_type = a.privilege_type AND g.oid = 0
WHERE NOT t.attisdropped AND i.privtype IS DISTINCT FROM 'i'

-- sort: function
SELECT CASE WHEN u.oid IS NULL THEN 'noted' ELSE 'surplus' END, g.name, p.oid::regprocedure::text,
CASE WHEN p.prosecdef THEN 'EXECUTE (SECURITY DEFINER)' WHEN NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
    THEN 'EXECUTE (untrusted language)' WHEN e.extname IS NOT NULL THEN 'EXECUTE (reaches outside)'
    ELSE 'EXECUTE' END,
format('REVOKE EXECUTE ON ROUTINE %%s FROM %%s', p.oid::regprocedure, g.quoted)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a JOIN g ON g.oid = a.grantee
LEFT JOIN usable AS u ON u.oid = n.oid AND u.grantee IN (0, g.oid)
LEFT JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = ANY (%(outside)s::name[])
LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid AND i.privtype = 'i'
WHERE a.privilege_type = 'EXECUTE' AND (
    (p.prosecdef AND p.oid >= 16384)
    OR (NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c'))
    OR e.extname IS NOT NULL
    OR (g.oid <> 0)
    OR (i.objoid IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) AS b WHERE b.grantee = 0))
)

-- sort: large object
SELECT 'surplus', g.name, o.oid::text, a.privilege_type,
format('REVOKE %%s ON LARGE OBJECT %%s FROM %%s', a.privilege_type, o.oid, g.quoted)
FROM pg_largeobject_metadata AS o CROSS JOIN LATERAL aclexplode(o.lomacl) AS a JOIN g ON g.oid = a.grantee
UNION ALL
SELECT 'surplus', 'PUBLIC', 'all', 'lo_compat_privileges',
format('ALTER DATABASE %%I SET lo_compat_privileges = off', current_database())
WHERE current_setting('lo_compat_privileges') = 'on'

-- sort: foreign server
SELECT 'surplus', g.name, s.srvname, a.privilege_type,
format('REVOKE %%s ON FOREIGN SERVER %%I FROM %%s', a.privilege_type, s.srvname, g.quoted)
FROM pg_foreign_server AS s CROSS JOIN LATERAL aclexplode(s.srvacl) AS a JOIN g ON g.oid = a.grantee
UNION ALL
SELECT 'surplus', g.name, w.fdwname, a.privilege_type,
format('REVOKE %%s ON FOREIGN DATA WRAPPER %%I FROM %%s', a.privilege_type, w.fdwname, g.quoted)
FROM pg_foreign_data_wrapper AS w CROSS JOIN LATERAL aclexplode(w.fdwacl) AS a JOIN g ON g.oid = a.grantee

-- sort: language
SELECT CASE WHEN l.lanpltrusted AND g.oid = 0 THEN 'noted' ELSE 'surplus' END, g.name, l.lanname, a.privilege_type,
format('REVOKE %%s ON LANGUAGE %%I FROM %%s', a.privilege_type, l.lanname, g.quoted)
FROM pg_language AS l
CROSS JOIN LATERAL aclexplode(CASE WHEN l.lanpltrusted THEN coalesce(l.lanacl, acldefault('l', l.lanowner)) ELSE l.lanacl END)
AS a JOIN g ON g.oid = a.grantee
WHERE l.lanname <> 'sql'

-- sort: tablespace
SELECT 'surplus', g.name, s.spcname, a.privilege_type,
format('REVOKE %%s ON TABLESPACE %%I FROM %%s', a.privilege_type, s.spcname, g.quoted)
FROM pg_tablespace AS s CROSS JOIN LATERAL aclexplode(s.spcacl) AS a JOIN g ON g.oid = a.grantee

-- sort: parameter (since 15)
SELECT 'surplus', g.name, p.parname, a.privilege_type,
format('REVOKE %%s ON PARAMETER %%I FROM %%s', a.privilege_type, p.parname, g.quoted)
FROM pg_parameter_acl AS p CROSS JOIN LATERAL aclexplode(p.paracl) AS a JOIN g ON g.oid = a.grantee

-- sort: default privilege
SELECT CASE WHEN d.defaclobjtype IN ('f', 'T') THEN 'noted' ELSE 'surplus' END, g.name,
format('%%s of %%I%%s', CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f'
    THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END,
    pg_get_userbyid(d.defaclrole), coalesce(' in ' || quote_ident(n.nspname), '')), a.privilege_type,
format('ALTER DEFAULT PRIVILEGES FOR ROLE %%I%%s REVOKE %%s ON %%s FROM %%s', pg_get_userbyid(d.defaclrole),
    coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''), a.privilege_type,
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
    WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END, g.quoted)
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a JOIN g ON g.oid = a.grantee

-- sort: views' owner
SELECT 'surplus', %(owner)s, format('%%I.%%I', n.nspname, c.relname), x.privilege,
CASE x.privilege WHEN 'OWNER' THEN '' ELSE
    format('REVOKE %%s ON %%I.%%I FROM %%I', x.privilege, n.nspname, c.relname, %(owner)s::text) END
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS r ON r.rolname = %(owner)s
CROSS JOIN LATERAL (
    SELECT 'OWNER' WHERE c.relowner = r.oid AND c.relkind <> 'v'
    UNION ALL
    SELECT a.privilege_type FROM aclexplode(c.relacl) AS a
    WHERE a.grantee = r.oid AND c.relowner <> r.oid AND NOT (a.privilege_type = 'SELECT' AND n.nspname = 'ringfort')
) AS x(privilege)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')

-- sort: disk
SELECT 'noted', 'profile roles', 'temporary files', 'NO LIMIT (temp_file_limit)', ''
WHERE current_setting('temp_file_limit') = '-1' AND EXISTS (
    SELECT FROM pg_roles AS r WHERE r.oid IN (SELECT oid FROM g) AND NOT EXISTS (
        SELECT FROM unnest(r.rolconfig) AS s WHERE starts_with(s, 'temp_file_limit=')
    )
)
