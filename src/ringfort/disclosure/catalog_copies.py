"""The filtered copies of the system catalogue, as SQL: what a profile's role sees instead of the relations.

`statement_rewrite` puts `ringfort_catalog.pg_class` where a statement names `pg_catalog.pg_class`. A copy has
the columns that the server's relation has, in their order; its rows are those that the profile shows and what
every server has; a column that would tell more shows NULL, or a neutral value. What it shows depends on
`current_user` alone, since a profile's schema is called like its role: one set of copies serves all profiles.

Functions that tell of objects by number or name have stand-ins in the same schema: `catalog_functions.sql`,
and those that are made here by rule. None is SECURITY DEFINER: they read the copies, as the session's role.

Invariants: the copies are views with `security_barrier` that belong to the views' owner, who may read nothing
that PUBLIC may not; PUBLIC may read them, but USAGE on their schemas is for profile roles alone. A copy
without rows reads nothing at all. No column of a copy and no stand-in is of a type that prints the name of an
object by its number or finds it by its name (`regclass` and the like, aclitem): such a value could be mixed
with any number, and a constant beside it would be read as a name. DESIGN section 5, ADR 0008.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING

from ringfort.disclosure.catalog_relations import COPIES, RELATIONS, SYSTEM_COPIES
from ringfort.disclosure.statement_settings import SHOWABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ringfort.disclosure.catalog_relations import Shown

SCHEMAS = (COPIES, SYSTEM_COPIES)
COLUMNS_QUERY = """
    SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attname::text,
           format_type(a.atttypid, a.atttypmod)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') AND c.oid < 16384
    ORDER BY n.nspname DESC, c.relname, a.attnum
"""
"""The columns of the server's own relations, as `statements` takes them; search_path must be pg_catalog."""

_OWN = "(SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = current_user)"
_ME = "(SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)"
_NAMING = re.compile(r"reg[a-z]+")
_OWNER = re.compile(r"[a-z]+owner|datdba")
_NEUTRAL = {
    "pg_node_tree": "NULL::pg_node_tree",
    "aclitem[]": "NULL::text[]",  # the text of an aclitem names roles, and one that is not there is an error
    "anyarray": "NULL::text[]",  # a view cannot have a column of type anyarray
    "xid": "'0'::xid",
}

_AS_TEXT = frozenset({"anyarray", "aclitem[]"})

_HELPERS = ("shown_type", "shown_relation", "shown_schema")

# has_..._privilege: the thing, its condition by number, how a name becomes a number, by name at last
_RELATION = ("ringfort_catalog.shows_relation({0})", "ringfort_catalog.regclass({0})")
_THINGS = {
    "table": _RELATION,
    "any_column": _RELATION,
    "column": _RELATION,
    "sequence": ("false AND {0} IS NULL", "NULL::oid"),
    "schema": ("ringfort_catalog.shows_schema({0})", "ringfort_catalog.regnamespace(quote_ident({0}))"),
    "database": (
        "{0} = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())",
        "(SELECT d.oid FROM ringfort_catalog.pg_database AS d WHERE d.datname = {0})",
    ),
    "function": ("{0} < 16384", "ringfort_catalog.regprocedure({0})"),
    "type": ("ringfort_catalog.shows_type({0})", "ringfort_catalog.regtype({0})"),
    "language": ("{0} < 16384", "(SELECT l.oid FROM pg_catalog.pg_language AS l WHERE l.lanname = {0})"),
    "tablespace": ("{0} < 16384", "(SELECT s.oid FROM pg_catalog.pg_tablespace AS s WHERE s.spcname = {0})"),
    "foreign_data_wrapper": ("false AND {0} IS NULL", "NULL::oid"),
    "server": ("false AND {0} IS NULL", "NULL::oid"),
}
# stand-ins that say that there is nothing: sizes, definitions, descriptions of what is not shown
_SILENT = """
    pg_relation_size(oid) bigint; pg_relation_size(oid, text) bigint; pg_table_size(oid) bigint
    pg_total_relation_size(oid) bigint; pg_indexes_size(oid) bigint; pg_database_size(oid) bigint
    pg_database_size(name) bigint; pg_tablespace_size(oid) bigint; pg_tablespace_size(name) bigint
    pg_tablespace_location(oid) text; pg_get_viewdef(oid) text; pg_get_viewdef(oid, boolean) text
    pg_get_viewdef(oid, integer) text; pg_get_viewdef(text) text; pg_get_viewdef(text, boolean) text
    pg_get_ruledef(oid) text; pg_get_ruledef(oid, boolean) text; pg_get_triggerdef(oid) text
    pg_get_triggerdef(oid, boolean) text; pg_get_function_sqlbody(oid) text
    pg_get_statisticsobjdef_columns(oid) text; pg_get_serial_sequence(text, text) text
    pg_get_partkeydef(oid) text; pg_describe_object(oid, oid, integer) text; shobj_description(oid, name) text
    pg_partition_root(oid) oid
"""
# stand-ins that answer for what the server was made with
_BUILTIN = """
    pg_get_constraintdef(oid) text; pg_get_constraintdef(oid, boolean) text; pg_get_indexdef(oid) text
    pg_get_indexdef(oid, integer, boolean) text; pg_get_function_arguments(oid) text
    pg_get_function_identity_arguments(oid) text; pg_get_function_result(oid) text
    pg_indexam_has_property(oid, text) boolean
    pg_index_column_has_property(oid, integer, text) boolean; pg_index_has_property(oid, text) boolean
    pg_function_is_visible(oid) boolean; pg_operator_is_visible(oid) boolean
    pg_opclass_is_visible(oid) boolean; pg_opfamily_is_visible(oid) boolean
    pg_collation_is_visible(oid) boolean; pg_conversion_is_visible(oid) boolean
    pg_ts_config_is_visible(oid) boolean; pg_ts_dict_is_visible(oid) boolean
    pg_ts_parser_is_visible(oid) boolean; pg_ts_template_is_visible(oid) boolean
    pg_statistics_obj_is_visible(oid) boolean
"""


def statements(columns: Iterable[Sequence[str]], server_version: int) -> list[str]:
    """Everything in the schemas of the copies, for a server whose relations have `columns` (`COLUMNS_QUERY`).

    `server_version` as libpq tells it (150018). To be run by the views' owner, who may create in both
    schemas, with search_path = pg_catalog.
    """
    relations: dict[tuple[str, str], list[Sequence[str]]] = {}
    for row in columns:
        relations.setdefault((row[0], row[1]), []).append(row)
    made = _statements_of("catalog_helpers.sql")
    for schema, target in (
        (schema, target) for schema in ("pg_catalog", "information_schema") for target in SCHEMAS
    ):
        for (of, name), rows in relations.items():
            shown = RELATIONS.get((of, name))
            if shown is not None and of == schema:
                query = _copy(f"{of}.{_quoted(name)}", rows, shown, system=target == SYSTEM_COPIES)
                made.append(_view(f"{target}.{_quoted(name)}", query))
    made += _functions(server_version)
    made += [f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO PUBLIC" for schema in SCHEMAS]
    made += [f"REVOKE ALL ON {COPIES}.{name} FROM PUBLIC" for name in _HELPERS]
    return made


def digest(made: Iterable[str]) -> str:
    """What tells one set of `statements` from another."""
    return hashlib.sha256("\0".join(made).encode()).hexdigest()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _view(name: str, query: str) -> str:
    return f"CREATE VIEW {name} WITH (security_barrier = true) AS {query}"


def _copy(source: str, rows: Sequence[Sequence[str]], shown: Shown, *, system: bool) -> str:
    empty = shown.rows == ("none",)
    table = rows[0][2] == "r"
    items = [_column(name, data_type, shown, empty=empty) for _, _, _, name, data_type in rows]
    if system and table:
        items += (
            ["NULL::oid AS tableoid", "NULL::xid AS xmin"]
            if empty
            else ["c.tableoid AS tableoid", "'2'::xid AS xmin"]
        )
    head = "SELECT " + ", ".join(items)
    if empty:
        return f"{head} WHERE false"
    parts = [" ".join((head, "FROM", source, "AS c", _condition(each))) for each in shown.rows]
    # not a bare UNION ALL: the planner dissolves that, and its barrier with it, and asks a function of the
    # client's of rows that are not shown
    return (
        parts[0] if len(parts) == 1 else " ".join(("SELECT u.* FROM (", " UNION ALL ".join(parts), ") AS u"))
    )


def _column(name: str, data_type: str, shown: Shown, *, empty: bool) -> str:
    source, alias = f"c.{_quoted(name)}", _quoted(name)
    naming = _NAMING.fullmatch(data_type.removesuffix("[]"))
    if naming:
        wanted = "oid[]" if data_type.endswith("[]") else "oid"
        return f"{'NULL' if empty else source}::{wanted} AS {alias}"
    if empty:
        return f"NULL::{'text[]' if data_type in _AS_TEXT else data_type} AS {alias}"
    chosen = shown.columns.get(name)
    if chosen is not None:
        wanted = "text[]" if data_type in _AS_TEXT else data_type
        return f"({_filled(chosen)})::{wanted} AS {alias}"
    if data_type in _NEUTRAL:
        return f"{_NEUTRAL[data_type]} AS {alias}"
    if data_type == "oid" and _OWNER.fullmatch(name):
        return f"{_ME} AS {alias}"
    return f"{source} AS {alias}"


def _condition(rows: str) -> str:
    word, _, rest = rows.partition(" ")
    if word == "all":
        return ""
    if word == "builtin":
        return f"WHERE c.{rest}::oid < 16384"
    if word == "schema":
        return f"WHERE c.{rest}::text IN ('pg_catalog', 'information_schema', current_user::text)"
    if word == "when":
        return f"WHERE {_filled(rest)}"
    raise AssertionError(rows)


def _filled(expression: str) -> str:
    showable = ", ".join(f"'{name}'" for name in sorted(SHOWABLE))
    return (
        expression.replace("{own}", _OWN)
        .replace("{me}", _ME)
        .replace("{showable}", f"ARRAY[{showable}]::text[]")
    )


# -- functions -----------------------------------------------------------------------------------------------


def _functions(server_version: int) -> list[str]:
    made = _statements_of("catalog_functions.sql")
    made += [_function(head, result, f"NULL::{result}") for head, result in _listed(_SILENT)]
    for head, result in _listed(_BUILTIN):
        name, _, types = head.rstrip(")").partition("(")
        arguments = ", ".join(f"${number + 1}" for number in range(len(types.split(","))))
        made.append(_function(head, result, f"CASE WHEN $1 < 16384 THEN pg_catalog.{name}({arguments}) END"))
    for thing, (condition, by_name) in _THINGS.items():
        made += _privilege_functions(thing, condition, by_name)
    if server_version >= 150_000:
        condition = f"lower({{0}}) = ANY ({_filled('{showable}')})"
        made += _privilege_functions("parameter", condition, "")
    return made


def _statements_of(file_name: str) -> list[str]:
    """The statements of a data file; comments stand at the start of a line."""
    text = resources.files("ringfort.disclosure").joinpath(file_name).read_text("utf-8")
    bare = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [_filled(each.strip()) for each in bare.split("\n\n") if each.strip()]


def _listed(text: str) -> list[tuple[str, str]]:
    """`name(types) result` each."""
    entries = [each.strip() for line in text.splitlines() for each in line.split(";") if each.strip()]
    return [(each.rpartition(" ")[0], each.rpartition(" ")[2]) for each in entries]


def _function(head: str, result: str, expression: str) -> str:
    return (
        f"CREATE FUNCTION {COPIES}.{head} RETURNS {result} LANGUAGE sql STABLE "
        f"AS $function$SELECT {expression}$function$"
    )


def _privilege_functions(thing: str, condition: str, by_name: str) -> list[str]:
    """The overloads of one has_..._privilege: of this session's own role, for what it is shown; else NULL."""
    name = f"has_{thing}_privilege"
    made = []
    for more in ("text", "smallint") if thing == "column" else ("",):
        rest = [*([more] if more else []), "text"]
        for role, own in (
            ("", ""),
            ("name", "$1 = current_user AND "),
            ("oid", "pg_catalog.pg_get_userbyid($1) = current_user AND "),
        ):
            at = 2 if role else 1
            behind = "".join(f", ${at + 1 + number}" for number in range(len(rest)))
            real = f"{own}{condition.format(f'${at}')} THEN pg_catalog.{name}(${at}{behind})"
            types = [*([role] if role else []), "oid" if by_name else "text", *rest]
            made.append(_function(f"{name}({', '.join(types)})", "boolean", f"CASE WHEN {real} END"))
            if by_name:
                types[at - 1] = "text"
                before = "$1, " if role else ""
                call = f"{COPIES}.{name}({before}{by_name.format(f'${at}')}{behind})"
                made.append(_function(f"{name}({', '.join(types)})", "boolean", call))
    return made


__all__ = ["COLUMNS_QUERY", "SCHEMAS", "digest", "statements"]
