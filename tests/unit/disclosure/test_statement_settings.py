"""Limits that a session may lower and not lift."""

import pytest

from ringfort.disclosure.statement_settings import CEILINGS, setting_refused
from ringfort.disclosure.statements import Surface, judge
from ringfort.disclosure.views import RoleLimits

SURFACE = Surface(frozenset({"people"}), "rf_x")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statement_timeout", "1"),
        ("statement_timeout", "300000"),
        ("STATEMENT_TIMEOUT", " 5min "),
        ("statement_timeout", "0.5s"),
        ("statement_timeout", None),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "1 min"),
        ("max_parallel_workers_per_gather", "0"),
        ("join_collapse_limit", "1"),
    ],
)
def test_what_lowers_a_limit(name, value):
    assert setting_refused(name, value) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statement_timeout", "0"),
        ("statement_timeout", "0ms"),
        ("statement_timeout", "0.4"),
        ("statement_timeout", "100us"),
        ("statement_timeout", "-1"),
        ("statement_timeout", "300001"),
        ("statement_timeout", "1h"),
        ("statement_timeout", "1e9"),
        ("statement_timeout", "0x7fffffff"),
        ("statement_timeout", ""),
        ("statement_timeout", "\u0661"),
        ("lock_timeout", "11s"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_in_transaction_session_timeout", "1d"),
        ("max_parallel_workers_per_gather", "3"),
        ("max_parallel_workers_per_gather", "1s"),
        ("join_collapse_limit", "100"),
        ("work_mem", "1GB"),
        ("hash_mem_multiplier", "1000"),
        ("temp_file_limit", "-1"),
    ],
)
def test_what_lifts_a_limit_is_refused(name, value):
    assert setting_refused(name, value) is not None


@pytest.mark.parametrize(
    "sql",
    [
        "SET statement_timeout = 0",
        "SET LOCAL statement_timeout TO '0'",
        "SET SESSION lock_timeout = '1h'",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT set_config('statement_timeout', $1, false)",
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; COMMIT",
    ],
)
def test_by_whatever_statement(sql):
    assert not judge(sql, SURFACE).allowed


def test_lowering_by_statement_and_the_default():
    for sql in (
        "SET statement_timeout = '30s'",
        "RESET statement_timeout",
        "SET statement_timeout TO DEFAULT",
    ):
        assert judge(sql, SURFACE).allowed


def test_a_role_begins_with_the_ceilings():
    limits = RoleLimits()
    assert limits.statement_ms == CEILINGS["statement_timeout"]
    assert limits.lock_ms == CEILINGS["lock_timeout"]
    assert limits.idle_in_transaction_ms == CEILINGS["idle_in_transaction_session_timeout"]
