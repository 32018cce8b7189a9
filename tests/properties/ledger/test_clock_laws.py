"""Whatever clocks say: nothing that is over comes back, and everything that is not can be ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ledger.ledger_in_memory import DIGEST, setup_entries

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_grants as granting
from ringfort.ledger.entry import format_time
from ringfort.ledger.errors import FoldError
from ringfort.ledger.folds import ControlState
from ringfort.ledger.grants import TOLERANCE, active_grants

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEOPLE = ("aoife", "brid", "conn")
GRANTS = tuple(f"g{each}" for each in range(5))
YEAR = 366 * 86_400
# the clock goes on by seconds, and now and then it is far ahead or behind, for an entry or for many
MOVES = st.one_of(
    st.integers(0, 20), st.integers(0, 20), st.sampled_from([-YEAR, -3_600, -70, -5, 70, 3_600, YEAR])
)
SECONDS = (0, 1, 5, 10, 30, 60, 120, 600, 3_600, 3_610, YEAR - 60, YEAR, YEAR + 10, YEAR + 3_600, 2 * YEAR)
ALL_TIMES = [START + timedelta(seconds=sign * each) for sign in (-1, 1) for each in SECONDS]

people, grants = st.sampled_from(PEOPLE), st.sampled_from(GRANTS)


def basic(moment):
    return {"time": format_time(moment), "actor": "operator"}


def asked(moment, grant, who):
    return granting.GrantRequested(
        **basic(moment), grant=grant, principal=who, purpose="p", ticket="", tables=("shop",), kind="view",
        seconds=600, reason="", approvals=1, open_seconds=3_600,
    )  # fmt: skip


def taken(moment, grant, who):
    return granting.BreakGlassOpened(
        **basic(moment), grant=grant, principal=who, purpose="p", ticket="", tables=("shop",), kind="view",
        seconds=600, reason="r", review_seconds=3_600, input=DIGEST,
    )  # fmt: skip


def approved(moment, grant, who):
    return granting.GrantApproved(**basic(moment), grant=grant, approver=who, input=DIGEST)


def denied(moment, grant, who):
    return granting.GrantDenied(**basic(moment), grant=grant, approver=who, reason="", input=DIGEST)


def revoked(moment, grant, who):
    return granting.GrantRevoked(**basic(moment), grant=grant, principal=who, reason="")


def reviewed(moment, grant, who):
    return granting.BreakGlassReviewed(
        **basic(moment), grant=grant, reviewer=who, outcome="unjustified", reason="", input=DIGEST
    )


def removed(moment, _, who):
    return control.PrincipalRemoved(**basic(moment), name=who)


def registered(moment, _, who):
    return control.PrincipalRegistered(**basic(moment), name=who, country="IE", employer="", role="approver")


def other(moment, _, __):
    return control.GatewayStarted(**basic(moment), version="1")


KINDS = st.sampled_from(
    (asked, asked, approved, approved, approved, taken, denied, revoked, reviewed, removed, registered, other)
)
HISTORIES = st.lists(st.tuples(MOVES, KINDS, grants, people), min_size=3, max_size=40)


def opened():
    state = ControlState()
    for each in setup_entries():
        state.apply(each)
    for name in PEOPLE:
        state.apply(registered(START, "", name))
    return state


def run(steps):
    """The state, before and after each entry that follows, with the entry."""
    state, clock = opened(), START
    for move, kind, grant, who in steps:
        clock += timedelta(seconds=move)
        before = state.copy()
        try:
            state.apply(kind(clock, grant, who))
        except FoldError:
            assert state == before
            continue
        yield before, state, kind, clock


def possible(state):
    """The grants that are in force at some moment, whatever the clock says."""
    return {each.id for who in PEOPLE for now in times(state) for each in active_grants(state, who, now)}


def times(state):
    edges = [moment for each in state.grants.values() for moment in (each.starts, each.ends) if moment]
    return [*ALL_TIMES, *edges, *(each - timedelta(microseconds=1) for each in edges)]


@given(HISTORIES)
def test_nothing_that_is_over_comes_back_at_any_time(steps):
    over = set()
    for before, state, _, clock in run(steps):
        assert not over & possible(state)
        over |= {each.id for each in before.grants.values() if each.over}
        # what the log has shown to be past its end is over, too
        over |= {each.id for each in state.grants.values() if each.ends is not None and clock >= each.ends}
        over |= {each.id for each in state.grants.values() if each.last - clock > TOLERANCE}
        assert not over & possible(state)


@given(HISTORIES)
def test_an_ended_grant_stays_ended_whatever_is_written(steps):
    ended = {}
    for _, state, *_ in run(steps):
        for name, status in ended.items():
            assert state.grants[name].status(START) == status or state.grants[name].over
            assert state.grants[name].ended
        ended = {each.id: each.status(START) for each in state.grants.values() if each.ended}


@given(HISTORIES, st.sampled_from([-2 * YEAR, -YEAR, -1, 0, 1, YEAR]))
def test_everything_in_force_can_be_ended_at_any_later_place(steps, move):
    for _, state, _, clock in run(steps):
        for name in possible(state):
            who = state.grants[name].principal
            later = clock + timedelta(seconds=move)
            for end in (revoked(later, name, who), removed(later, name, who), registered(later, name, who)):
                trial = state.copy()
                trial.apply(end)
                assert name not in possible(trial)
                if not isinstance(end, granting.GrantRevoked):
                    trial.apply(registered(START, "", who))
                    assert name not in possible(trial)


@given(HISTORIES, st.sampled_from([-YEAR, YEAR]))
def test_one_entry_with_a_wrong_clock_locks_nobody_out(steps, jump):
    state = opened()
    for _, state, *_ in run(steps):  # noqa: B007 - the last one is wanted
        pass
    for who in PEOPLE:
        if who not in state.principals:
            state.apply(registered(START, "", who))
    state.apply(other(START + timedelta(seconds=jump), "", ""))
    now = START + timedelta(hours=2)
    state.apply(asked(now, "new", "aoife"))
    state.apply(other(now, "", ""))
    state.apply(approved(now, "new", "brid"))
    state.apply(other(now + timedelta(seconds=30), "", ""))
    found = {each.id for each in active_grants(state, "aoife", now + timedelta(seconds=30))}
    assert "new" in found
    state.apply(revoked(now + timedelta(seconds=31), "new", "aoife"))
    assert "new" not in possible(state)


@given(HISTORIES)
def test_the_remembered_bounds_are_those_of_the_grants(steps):
    """The fold looks at all grants only when an entry's time is outside of them: that must miss nothing."""
    for _, state, _, clock in run(steps):
        for each in state.grants.values():
            if not each.ended:
                assert each.by_time(clock) in {"requested", "active"}
                assert clock >= each.last - TOLERANCE


def test_registered_anew_while_the_clock_is_ahead_gives_no_old_grant_back():
    state = opened()
    state.apply(asked(START, "g1", "aoife"))
    state.apply(approved(START, "g1", "brid"))
    ahead = START + timedelta(days=30)
    state.apply(removed(ahead, "", "aoife"))
    state.apply(registered(ahead, "", "aoife"))
    assert not possible(state)


def test_a_grant_approved_while_the_clock_is_ahead_is_over_with_the_next_entry_and_can_be_revoked():
    state = opened()
    state.apply(asked(START, "g1", "aoife"))
    state.apply(approved(START + timedelta(seconds=3_000), "g1", "brid"))
    trial = state.copy()
    trial.apply(revoked(START + timedelta(seconds=1), "g1", "aoife"))
    assert trial.grants["g1"].status(START) == "revoked"
    state.apply(other(START + timedelta(seconds=1), "", ""))
    assert not possible(state)
    assert state.grants["g1"].over_because == "the clock was wrong"
    assert state.changed["grant:g1"] == state.size - 1
