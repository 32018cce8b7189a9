import pytest

from ringfort.gateway.control import ControlFollower, ground
from ringfort.ledger.entry import encode
from ringfort.ledger.entry_control import (
    CatalogueActivated,
    LogOpened,
    PolicyActivated,
    PrincipalRegistered,
    PrincipalRemoved,
)
from ringfort.ledger.errors import EntryError, FoldError

OWN = {"time": "2026-11-21T10:00:00Z", "actor": "operator"}
DIGEST = "a" * 64


def entries():
    return [
        LogOpened(**OWN, origin="o", vkey="v"),
        PolicyActivated(**OWN, bundle=DIGEST, evaluator="e"),
        PrincipalRegistered(**OWN, name="alice", country="IE", employer="x", role="support"),
        CatalogueActivated(**OWN, catalogue=DIGEST),
        PrincipalRegistered(**OWN, name="alice", country="US", employer="x", role="support"),
        PrincipalRemoved(**OWN, name="alice"),
    ]


def test_changes_are_told_in_order():
    told = []
    follower = ControlFollower(lambda key, index, text: told.append((key, index, text)))
    for index, entry in enumerate(entries()):
        follower.take(index, encode(entry))
    assert [(key, index) for key, index, _ in told] == [
        ("policy", 1),
        ("principal:alice", 2),
        ("catalogue", 3),
        ("principal:alice", 4),
        ("principal:alice", 5),
    ]
    assert told[-1][2] == "your registration has ended"
    assert "alice" not in follower.state.principals
    assert follower.changed_since({"catalogue"}, 3)
    assert not follower.changed_since({"catalogue"}, 4)


def test_an_entry_that_does_not_follow_is_an_error():
    follower = ControlFollower(lambda key, index, text: None)
    with pytest.raises(FoldError):
        follower.take(0, encode(entries()[1]))
    with pytest.raises(EntryError):
        follower.take(0, b"{}")


def test_the_ground_of_a_session():
    assert ground("alice", ["domain:x"]) == {
        "policy", "catalogue", "zones", "gateway", "principal:alice", "domain:x",
    }  # fmt: skip
