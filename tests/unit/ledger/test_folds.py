from __future__ import annotations

import pytest
from tests.unit.ledger.ledger_in_memory import (
    BASIC,
    DIGEST,
    SHARD,
    admitted,
    session_opened,
    setup_entries,
    signer,
)

from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import encode
from ringfort.ledger.errors import ConditionFailedError, EntryError, FoldError
from ringfort.ledger.folds import Condition, ControlState, RegisteredPrincipal

ORIGIN = signer(f"traffic/{SHARD}").key.name
OTHER = "cd" * 32


def folded(*more):
    state = ControlState()
    for each in (*setup_entries(), *more):
        state.apply(each)
    return state


def test_the_state_is_what_the_entries_say():
    state = folded(
        session_opened("s1"),
        control.DomainKeyCreated(**BASIC, domain="support", key_id="k1"),
        control.SiteAudited(**BASIC, site="dublin-1", database="shop", outcome="clean", findings=DIGEST),
        control.ZonesActivated(**BASIC, zones=OTHER),
    )
    assert (state.policy, state.catalogue, state.zones) == (DIGEST, DIGEST, OTHER)
    assert state.principals["maeve"] == RegisteredPrincipal("maeve", "IE", "", "support")
    assert state.domains == {"support": "k1"}
    assert state.sites == {("dublin-1", "shop"): "clean"}
    assert state.sessions == {"s1": 5}
    assert state.size == 9
    assert state.changed["policy"] == 2
    assert state.changed["principal:maeve"] == 4
    assert state.changed["domain:support"] == 6
    assert state.origin == signer("control").key.name


def test_bytes_and_entries_fold_alike():
    state = ControlState()
    for each in setup_entries():
        state.apply(encode(each))
    assert state == folded()


def test_a_removed_principal_is_gone_and_a_registered_one_replaced():
    replacement = control.PrincipalRegistered(
        **BASIC, name="maeve", country="US", employer="X", role="analyst"
    )
    assert folded(replacement).principals["maeve"].country == "US"
    assert folded(control.PrincipalRemoved(**BASIC, name="maeve")).principals == {}


def test_a_starting_gateway_ends_open_sessions():
    state = folded(session_opened("s1"), control.GatewayStarted(**BASIC, version="0.1.0"))
    assert state.sessions == {}
    assert state.gateway == "0.1.0"
    state.apply(control.GatewayStopped(**BASIC))
    assert state.gateway == ""


def test_a_shard_is_anchored_and_closed():
    state = folded(control.TrafficAnchored(**BASIC, origin=ORIGIN, size=3, root=DIGEST))
    assert state.shards[SHARD].anchored == 3
    state.apply(control.ShardClosed(**BASIC, shard=SHARD, origin=ORIGIN, size=5, root=OTHER))
    assert state.shards[SHARD].closed == (5, OTHER)
    for entry in (
        control.TrafficAnchored(**BASIC, origin=ORIGIN, size=9, root=DIGEST),
        control.ShardClosed(**BASIC, shard=SHARD, origin=ORIGIN, size=5, root=OTHER),
    ):
        with pytest.raises(FoldError):
            state.apply(entry)


@pytest.mark.parametrize(
    "entry",
    [
        control.LogOpened(**BASIC, origin="x", vkey="y"),
        control.PrincipalRemoved(**BASIC, name="nobody"),
        control.DomainKeyCreated(**BASIC, domain="taken", key_id="k2"),
        control.ShardOpened(**BASIC, shard=SHARD, origin="x", vkey="y"),
        control.ShardOpened(**BASIC, shard="2026-12", origin=ORIGIN, vkey="y"),
        control.ShardClosed(**BASIC, shard="2026-12", origin=ORIGIN, size=1, root=DIGEST),
        control.ShardClosed(**BASIC, shard=SHARD, origin="x", size=9, root=DIGEST),
        control.ShardClosed(**BASIC, shard=SHARD, origin=ORIGIN, size=1, root=DIGEST),
        control.TrafficAnchored(**BASIC, origin="x", size=9, root=DIGEST),
        control.TrafficAnchored(**BASIC, origin=ORIGIN, size=2, root=DIGEST),
        session_opened("s1"),
        session_opened("s2", principal="nobody"),
        admitted("s1", 1, 1),
    ],
)
def test_what_does_not_follow_is_refused_and_changes_nothing(entry):
    state = folded(
        session_opened("s1"),
        control.DomainKeyCreated(**BASIC, domain="taken", key_id="k1"),
        control.TrafficAnchored(**BASIC, origin=ORIGIN, size=2, root=DIGEST),
    )
    before = state.copy()
    with pytest.raises(FoldError):
        state.apply(entry)
    assert state == before


@pytest.mark.parametrize("change", ["policy", "catalogue", "zones", "evaluator"])
def test_a_session_must_stand_on_what_is_in_force(change):
    entry = session_opened("s1")
    values = {**entry.__dict__, change: OTHER}
    with pytest.raises(FoldError, match=change):
        folded().apply(control.SessionOpened(**values))


def test_the_log_begins_with_log_opened():
    with pytest.raises(FoldError):
        ControlState().apply(control.GatewayStopped(**BASIC))


def test_bytes_that_are_no_entry_are_refused():
    with pytest.raises(EntryError):
        folded().apply(b"{}")


def test_conditions():
    state = folded()
    state.require(Condition(("policy", "principal:maeve", "never-set"), state.size))
    state.require(Condition(("policy",), 3))
    for condition in (
        Condition(("policy",), 2),
        Condition(("never-set", "policy"), 0),
        Condition(("principal:maeve",), 4),
        Condition((), state.size + 1),
    ):
        with pytest.raises(ConditionFailedError) as raised:
            state.require(condition)
        assert raised.value.sqlstate == "40001"


def test_a_copy_is_independent():
    state = folded()
    copy = state.copy()
    copy.apply(control.PrincipalRemoved(**BASIC, name="maeve"))
    assert "maeve" in state.principals
    assert state.changed["principal:maeve"] == 4
