"""The data files of the allow-list: what must never be in them."""

# ruff: noqa: E501 - statements and lists read best whole

import fnmatch

import pytest

from ringfort.disclosure import function_list as lists
from ringfort.disclosure.catalog_relations import RELATIONS
from ringfort.disclosure.word_list import read_lines, read_words

NEVER_FUNCTIONS = """
    pg_sleep* query_to_xml* table_to_xml* schema_to_xml* database_to_xml* cursor_to_xml* xml* xpath* ts_stat
    ts_rewrite dblink* lo_* loread lowrite pg_read_* pg_ls_* pg_stat_* pg_statio_* pg_advisory_lock*
    pg_advisory_xact* pg_advisory_unlock pg_advisory_unlock_shared pg_try_advisory_* pg_terminate_backend
    pg_cancel_backend pg_notify pg_listening_channels currval nextval setval lastval pg_get_viewdef
    pg_get_ruledef pg_get_functiondef pg_get_triggerdef pg_get_statisticsobjdef* pg_relation_* pg_table_size
    pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_* pg_reload_conf pg_rotate_* pg_switch_*
    pg_create_* pg_drop_* pg_backup_* pg_replication_* pg_logical_* pg_export_snapshot txid_* pg_current_*
    pg_xact_* pg_snapshot_* setseed set_config current_setting pg_show_* pg_hba_* pg_ident_* pg_config pg_control_*
    pg_lock_status pg_blocking_pids pg_prepared_xact pg_cursor pg_prepared_statement brin_* gin_* currtid*
    json_populate_* jsonb_populate_* satisfies_hash_partition pg_sequence_* pg_promote binary_upgrade_*
    pg_mcv_* pg_file_* inet_server_* inet_client_* pg_import_* pg_logdir_* *_in *_out *_recv *_send
    has_*_in pg_get_multixact_members pg_get_publication_tables pg_event_trigger_*
""".split()  # noqa: SIM905 - a list of words
NEVER_RELATIONS = """
    pg_authid pg_shadow pg_statistic pg_statistic_ext_data pg_stats* pg_stat_* pg_statio* pg_user_mapping*
    pg_largeobject* pg_hba* pg_ident* pg_file_settings pg_locks pg_sequences pg_subscription* pg_db_role_setting
    pg_replication* pg_rules pg_prepared_xacts pg_shmem* pg_backend_memory* pg_config pg_seclabel* pg_shseclabel
    pg_parameter_acl pg_wait_events pg_aios user_mapping* foreign_*_options
""".split()  # noqa: SIM905 - a list of words
ALLOWED_DESPITE = {"pg_relation_is_publishable", "bit_out"}


def test_no_function_is_listed_that_must_never_be():
    for pattern in NEVER_FUNCTIONS:
        found = set(fnmatch.filter(lists.FUNCTIONS, pattern)) - ALLOWED_DESPITE
        assert not found, f"{pattern}: {found}"


def test_no_relation_is_listed_that_must_never_be():
    names = {name for (_, name), shown in RELATIONS.items() if shown.rows != ("none",)} - {"pg_stat_activity"}
    for pattern in NEVER_RELATIONS:
        assert not fnmatch.filter(names, pattern), pattern


def test_what_tells_too_much_shows_something_else():
    blanked = {
        "pg_class": {"reltuples", "relpages", "relallvisible", "relallfrozen", "relacl", "relfilenode"},
        "pg_attribute": {"attoptions", "attfdwoptions"},
        "pg_proc": {"prosrc", "probin", "proconfig"},
        "pg_views": {"definition", "viewowner"},
        "pg_roles": {"rolconfig"},
        "pg_user": {"useconfig"},
        "pg_type": {"typdefault"},
        "pg_stat_activity": {"query", "client_addr"},
    }
    for name, columns in blanked.items():
        assert RELATIONS["pg_catalog", name].columns.keys() >= columns
    for name in ("pg_matviews", "pg_rewrite", "pg_policy", "pg_foreign_server", "pg_attrdef", "pg_depend"):
        assert RELATIONS["pg_catalog", name].rows == ("none",)


def test_no_type_is_listed_that_must_never_be():
    never = {
        "xml",
        "refcursor",
        "cstring",
        "internal",
        "record",
        "trigger",
        "pg_node_tree",
        "anyelement",
        "any",
    }
    assert not never & lists.TYPES
    assert {"regclass", "regrole", "regnamespace", "regproc"} <= lists.REFERENCE_TYPES <= lists.TYPES


def test_names_of_output_columns_are_no_names_of_other_functions():
    assert not lists.OUTPUT_COLUMNS & lists.ROW_FUNCTIONS
    for name in lists.OUTPUT_COLUMNS:
        assert not lists.why_refused(name)


def test_functions_judged_by_literals_are_not_listed_as_free():
    assert {"set_config", "current_setting"} <= lists.LITERAL_FUNCTIONS
    assert not lists.LITERAL_FUNCTIONS & lists.FUNCTIONS
    assert not lists.STAND_INS & (lists.FUNCTIONS | lists.LITERAL_FUNCTIONS)
    assert lists.REFERENCE_TYPES <= lists.STAND_INS


@pytest.mark.parametrize("name", sorted(lists.FUNCTIONS | lists.LITERAL_FUNCTIONS))
def test_no_listed_function_has_words_of_refusal(name):
    exceptions = {"pg_advisory_unlock_all", "set_config", "current_setting"}
    assert name in exceptions or not lists.why_refused(name)


def test_reading_is_strict():
    for name in ("functions.txt", "operators.txt", "types.txt", "notation.txt", "function_refusals.txt"):
        sections = read_words(name)
        assert sections
        assert all(sections.values())
        words = [word for lines in read_lines(name).values() for line in lines for word in line.split()]
        assert len(words) == len(set(words)), {word for word in words if words.count(word) > 1}
