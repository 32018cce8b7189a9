"""Credentials: what the fold makes of them."""

import pytest

from ringfort.ledger.entry_control import LogOpened, PrincipalRegistered, PrincipalRemoved
from ringfort.ledger.entry_control_credentials import CredentialRegistered, CredentialRemoved
from ringfort.ledger.errors import FoldError
from ringfort.ledger.folds import ControlState

BY = {"time": "2026-11-22T10:00:00Z", "actor": "t"}


@pytest.fixture
def state():
    made = ControlState()
    made.apply(LogOpened(**BY, origin="o", vkey="v"))
    for name in ("ann", "bob"):
        made.apply(PrincipalRegistered(**BY, name=name, country="IE", employer="e", role="r"))
    return made


def register(name, subject, method="certificate"):
    return CredentialRegistered(**BY, name=name, method=method, subject=subject)


def test_they_come_and_go_and_change_the_principal(state):
    index = state.apply(register("ann", "cn:ann"))
    assert state.changed["principal:ann"] == index
    state.apply(register("ann", "cn:anna"))
    state.apply(register("ann", "cn:anna", "token"))
    assert state.credentials == {("ann", "certificate"): "cn:anna", ("ann", "token"): "cn:anna"}
    copied = state.copy()
    index = state.apply(CredentialRemoved(**BY, name="ann", method="certificate"))
    assert state.changed["principal:ann"] == index
    assert ("ann", "certificate") not in state.credentials
    assert ("ann", "certificate") in copied.credentials


def test_one_subject_stands_for_one_principal(state):
    state.apply(register("ann", "cn:x"))
    state.apply(register("ann", "cn:x"))
    with pytest.raises(FoldError):
        state.apply(register("bob", "cn:x"))
    state.apply(register("bob", "cn:x", "token"))
    state.apply(CredentialRemoved(**BY, name="ann", method="certificate"))
    state.apply(register("bob", "cn:x"))


def test_they_go_with_their_principal(state):
    state.apply(register("ann", "cn:x"))
    state.apply(PrincipalRemoved(**BY, name="ann"))
    assert state.credentials == {}
    state.apply(register("bob", "cn:x"))


@pytest.mark.parametrize(
    "entry",
    [
        register("nobody", "cn:x"),
        register("ann", "cn:x", "password"),
        CredentialRemoved(**BY, name="ann", method="certificate"),
    ],
)
def test_what_does_not_follow(state, entry):
    before = state.copy()
    with pytest.raises(FoldError):
        state.apply(entry)
    assert state == before
