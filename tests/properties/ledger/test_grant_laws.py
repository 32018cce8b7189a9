"""Whatever entries are written about grants, in any order and by anybody, these laws hold of the fold."""

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

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PEOPLE = ("aoife", "brid", "conn", "donal")
GRANTS = ("g1", "g2")
OVER = {"denied", "lapsed", "expired", "revoked"}

people = st.sampled_from(PEOPLE)
grants = st.sampled_from(GRANTS)
moments = st.integers(0, 60)


def basic(moment):
    return {"time": format_time(START + timedelta(seconds=moment)), "actor": "operator"}


def asked(moment, grant, who, needed, lasting, open_for):  # noqa: PLR0917 - one strategy each
    return granting.GrantRequested(
        **basic(moment),
        grant=grant,
        principal=who,
        purpose="p",
        ticket="",
        tables=("shop",),
        kind="view",
        seconds=lasting,
        reason="",
        approvals=needed,
        open_seconds=open_for,
    )


def taken(moment, grant, who, lasting, review):
    return granting.BreakGlassOpened(
        **basic(moment),
        grant=grant,
        principal=who,
        purpose="p",
        ticket="",
        tables=("shop",),
        kind="operate",
        seconds=lasting,
        reason="r",
        review_seconds=review,
        input=DIGEST,
    )


STEPS = st.one_of(
    st.builds(asked, moments, grants, people, st.integers(1, 3), st.integers(1, 30), st.integers(1, 40)),
    st.builds(
        lambda moment, grant, who: granting.GrantApproved(
            **basic(moment), grant=grant, approver=who, input=DIGEST
        ),
        moments,
        grants,
        people,
    ),
    st.builds(
        lambda moment, grant, who: granting.GrantDenied(
            **basic(moment), grant=grant, approver=who, reason="", input=DIGEST
        ),
        moments,
        grants,
        people,
    ),
    st.builds(
        lambda moment, grant, who: granting.GrantRevoked(
            **basic(moment), grant=grant, principal=who, reason=""
        ),
        moments,
        grants,
        people,
    ),
    st.builds(taken, moments, grants, people, st.integers(1, 30), st.integers(1, 40)),
    st.builds(
        lambda moment, grant, who, outcome: granting.BreakGlassReviewed(
            **basic(moment), grant=grant, reviewer=who, outcome=outcome, reason="", input=DIGEST
        ),
        moments,
        grants,
        people,
        st.sampled_from(["justified", "unjustified"]),
    ),
    st.builds(lambda moment, who: control.PrincipalRemoved(**basic(moment), name=who), moments, people),
)
# More often than not people write what follows: then long histories are reached.
HISTORIES = st.lists(STEPS, min_size=2, max_size=40).flatmap(
    lambda steps: st.sampled_from([steps, sorted(steps, key=lambda each: each.time)])
)


def run(steps):
    """The state after every step that follows, and the ones that did."""
    state = ControlState()
    for each in setup_entries():
        state.apply(each)
    for name in PEOPLE:
        state.apply(
            control.PrincipalRegistered(**basic(0), name=name, country="IE", employer="", role="approver")
        )
    yield state, None
    for each in steps:
        before = state.copy()
        try:
            state.apply(each)
        except FoldError:
            assert state == before
            continue
        yield state, each


@given(HISTORIES)
def test_nobody_approves_their_own_and_nobody_counts_twice(steps):
    said: dict[str, list[str]] = {}
    for state, entry in run(steps):
        if isinstance(entry, granting.GrantApproved):
            said.setdefault(entry.grant, []).append(entry.approver)
        for grant in state.grants.values():
            assert grant.principal not in grant.approvers
            assert len(set(grant.approvers)) == len(grant.approvers)
            assert set(grant.approvers) <= set(said.get(grant.id, ()))
            if grant.starts is not None and not grant.break_glass:
                assert len(grant.approvers) == grant.needed
            if grant.starts is None:
                assert len(grant.approvers) < grant.needed
                assert grant.over or set(grant.approvers) <= set(state.principals)


@given(HISTORIES)
def test_a_grant_lasts_as_long_as_was_asked_and_its_end_never_moves(steps):
    windows = {}
    for state, _ in run(steps):
        for grant in state.grants.values():
            if grant.starts is not None:
                assert grant.ends == grant.starts + timedelta(seconds=grant.seconds)
                assert windows.setdefault(grant.id, (grant.starts, grant.ends)) == (grant.starts, grant.ends)


@given(HISTORIES)
def test_what_is_over_is_never_in_force_again(steps):
    later = [timedelta(seconds=each) for each in range(0, 120, 3)]
    before = {}
    for state, entry in run(steps):
        grant = state.grants.get(getattr(entry, "grant", ""))
        earlier = before.get(grant.id) if grant else None
        if earlier is not None and earlier.status(datetime.fromisoformat(entry.time)) in OVER:
            now = datetime.fromisoformat(entry.time)
            assert not isinstance(entry, granting.GrantApproved)
            assert {grant.status(now + each) for each in later} <= OVER
        before = dict(state.grants)


@given(HISTORIES, st.data())
def test_the_same_entries_give_the_same_state(steps, data):
    accepted = [entry for _, entry in run(steps) if entry is not None]
    states = [state.copy() for state, _ in run(accepted)]
    assert len(states) == len(accepted) + 1
    cut = data.draw(st.integers(0, len(accepted)))
    assert [state.copy() for state, _ in run(accepted[:cut])] == states[: cut + 1]


@given(HISTORIES)
def test_nobody_with_an_overdue_review_takes_another(steps):
    for state, entry in run(steps):
        if isinstance(entry, granting.BreakGlassOpened):
            now = datetime.fromisoformat(entry.time)
            assert not any(
                grant.overdue(now)
                for grant in state.grants.values()
                if grant.principal == entry.principal and grant.id != entry.grant
            )
