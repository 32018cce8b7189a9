from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.ledger.ledger_in_memory import DIGEST, setup_entries

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_grants as granting
from ringfort.ledger.entry import canonical, decode, encode, format_time
from ringfort.ledger.errors import ConditionFailedError, EntryError, FoldError
from ringfort.ledger.folds import Condition, ControlState
from ringfort.ledger.grants import active_grants

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(seconds=0):
    return START + timedelta(seconds=seconds)


def by(seconds=0):
    return {"time": format_time(at(seconds)), "actor": "operator"}


def requested(moment=0, grant="g1", principal="maeve", **changes):
    values = {
        "purpose": "customer-support",
        "ticket": "T-1",
        "tables": ("shop.orders",),
        "kind": "view",
        "seconds": 600,
        "reason": "a refund",
        "approvals": 1,
        "open_seconds": 3600,
    }
    return granting.GrantRequested(**by(moment), grant=grant, principal=principal, **(values | changes))


def approved(seconds=1, grant="g1", approver="ronan"):
    return granting.GrantApproved(**by(seconds), grant=grant, approver=approver, input=DIGEST)


def denied(seconds=1, grant="g1", approver="ronan"):
    return granting.GrantDenied(**by(seconds), grant=grant, approver=approver, reason="no", input=DIGEST)


def revoked(seconds=2, grant="g1", principal="maeve"):
    return granting.GrantRevoked(**by(seconds), grant=grant, principal=principal, reason="done")


def broken(moment=0, grant="b1", principal="maeve", **changes):
    values = {
        "purpose": "incident",
        "ticket": "I-1",
        "tables": ("shop",),
        "kind": "view",
        "seconds": 60,
        "reason": "the shop is down",
        "review_seconds": 3600,
    }
    return granting.BreakGlassOpened(
        **by(moment), grant=grant, principal=principal, input=DIGEST, **(values | changes)
    )


def reviewed(seconds=5, grant="b1", reviewer="ronan", outcome="justified"):
    return granting.BreakGlassReviewed(
        **by(seconds), grant=grant, reviewer=reviewer, outcome=outcome, reason="", input=DIGEST
    )


def registered(name, **changes):
    values = {"country": "IE", "employer": "", "role": "approver"} | changes
    return control.PrincipalRegistered(**by(-60), name=name, **values)


def folded(*more):
    state = ControlState()
    for each in (*setup_entries(), registered("ronan"), registered("sorcha"), *more):
        state.apply(each)
    return state


def status(state, seconds, grant="g1"):
    return state.grants[grant].status(at(seconds))


def test_a_grant_is_asked_for_approved_in_force_and_over():
    state = folded(requested())
    assert status(state, 10) == "requested"
    assert active_grants(state, "maeve", at(10)) == ()
    state.apply(approved(20))
    grant = state.grants["g1"]
    assert (grant.starts, grant.ends) == (at(20), at(620))
    assert [status(state, each) for each in (19, 20, 619, 620)] == [
        "requested",
        "active",
        "active",
        "expired",
    ]
    assert active_grants(state, "maeve", at(20)) == (grant,)
    assert active_grants(state, "maeve", at(620)) == ()
    assert active_grants(state, "ronan", at(20)) == ()


def test_as_many_different_approvers_as_are_needed():
    state = folded(requested(approvals=2), approved(1))
    assert status(state, 2) == "requested"
    with pytest.raises(FoldError, match="already"):
        state.apply(approved(2))
    state.apply(approved(3, approver="sorcha"))
    assert status(state, 3) == "active"
    assert state.grants["g1"].approvers == ("ronan", "sorcha")


@pytest.mark.parametrize(
    ("before", "entry"),
    [
        ([], requested(principal="nobody")),
        ([], requested(approvals=0)),
        ([], requested(approvals=101)),
        ([], requested(open_seconds=0)),
        ([], approved()),
        ([], revoked()),
        ([], broken(principal="nobody")),
        ([requested()], requested()),
        ([requested()], approved(approver="maeve")),
        ([requested()], approved(approver="nobody")),
        ([requested(5)], approved(4)),
        ([requested()], approved(3600)),
        ([requested()], denied(approver="maeve")),
        ([requested()], revoked(principal="nobody")),
        ([requested()], reviewed(grant="g1")),
        ([requested(), approved()], approved(2, approver="sorcha")),
        ([requested(), approved()], denied(2)),
        ([requested(), denied()], approved(2, approver="sorcha")),
        ([requested(), revoked(1)], approved(2)),
        ([requested(), approved(), revoked(2)], revoked(3)),
        ([requested()], broken(grant="g1")),
        ([broken()], reviewed(reviewer="maeve")),
        ([broken()], reviewed(reviewer="nobody")),
        ([broken()], reviewed(outcome="fine")),
        ([broken(), reviewed()], reviewed(6, reviewer="sorcha")),
        ([broken()], approved(grant="b1")),
        ([broken()], broken(3600, grant="b2")),
    ],
)
def test_what_does_not_follow_is_refused_and_changes_nothing(before, entry):
    state = folded(*before)
    copy = state.copy()
    with pytest.raises(FoldError):
        state.apply(entry)
    assert state == copy


def test_a_duration_that_never_ends_is_refused():
    for seconds in (0, 366 * 86_400 + 1, 1 << 52):
        with pytest.raises(FoldError, match="duration"):
            folded(requested(seconds=seconds))


def test_what_is_revoked_or_denied_says_so():
    state = folded(requested(), approved(), revoked(5))
    assert status(state, 5) == "revoked"
    assert state.grants["g1"].over_because == "done"
    assert status(folded(requested(), denied()), 2) == "denied"
    assert status(folded(requested()), 3600) == "lapsed"


def test_break_glass_is_in_force_at_once_and_waits_for_a_review():
    state = folded(broken())
    assert status(state, 0, "b1") == "active"
    assert status(state, 60, "b1") == "expired"
    assert not state.grants["b1"].overdue(at(3599))
    assert state.grants["b1"].overdue(at(3600))
    state.apply(broken(100, grant="b2"))
    state.apply(reviewed(200))
    state.apply(broken(3650, grant="b3"))
    with pytest.raises(FoldError, match="unreviewed"):
        state.apply(broken(3700, grant="b4"))
    state.apply(reviewed(3800, grant="b2", outcome="unjustified"))
    state.apply(broken(3900, grant="b4"))


def test_an_unjustified_one_ends_at_once_and_a_justified_one_goes_on():
    state = folded(broken(), reviewed(5))
    assert status(state, 6, "b1") == "active"
    assert "review:b1" in state.changed
    assert state.changed["grant:b1"] < state.changed["review:b1"]
    state = folded(broken(), reviewed(5, outcome="unjustified"))
    assert status(state, 6, "b1") == "revoked"
    assert state.changed["grant:b1"] == state.size - 1
    state = folded(broken(), reviewed(99, outcome="unjustified"))
    assert status(state, 100, "b1") == "expired"


def test_who_is_removed_or_registered_anew_has_no_grants():
    gone = control.PrincipalRemoved(**by(30), name="maeve")
    assert status(folded(requested(), approved(), gone), 31) == "revoked"
    again = control.PrincipalRegistered(**by(30), name="maeve", country="US", employer="", role="analyst")
    assert status(folded(requested(), approved(), again), 31) == "revoked"


def test_the_approval_of_who_is_removed_counts_only_if_it_was_complete():
    gone = control.PrincipalRemoved(**by(30), name="ronan")
    assert folded(requested(approvals=2), approved(), gone).grants["g1"].approvers == ()
    assert status(folded(requested(), approved(), gone), 31) == "active"


def test_a_registration_may_name_a_manager():
    entry = granting.PrincipalRegisteredUnder(
        **by(), name="aoife", country="IE", employer="Shop", role="support", manager="ronan"
    )
    assert decode(encode(entry)) == entry
    assert encode(entry).endswith(b'"type":"PrincipalRegistered","v":2}')
    state = folded(entry)
    assert state.principals["aoife"].manager == "ronan"
    assert state.principals["ronan"].manager == ""


def test_conditions_on_a_grant():
    state = folded(requested())
    state.require(Condition(("grant:g1",), state.size))
    with pytest.raises(ConditionFailedError):
        state.require(Condition(("grant:g1",), state.size - 1))


@pytest.mark.parametrize(
    "change",
    [
        {"tables": []},
        {"tables": ["b", "a"]},
        {"tables": ["a", "a"]},
        {"tables": [""]},
        {"tables": "a"},
        {"kind": "write"},
        {"kind": 1},
        {"seconds": "600"},
    ],
)
def test_malformed_requests_are_refused(change):
    values = dict(requested().__dict__, type="GrantRequested", v=1, tables=["a"])
    assert decode(canonical(values))
    with pytest.raises(EntryError):
        decode(canonical(values | change))
