import pytest

from ringfort.ledger import entry_control as control
from ringfort.ledger.errors import FoldError
from ringfort.ledger.folds import ControlState

OWN = {"time": "2026-11-21T10:00:00Z", "actor": "operator"}


def killed(session):
    return control.SessionKilled(**OWN, session=session, by="root", reason="")


@pytest.fixture
def state():
    made = ControlState()
    made.apply(control.LogOpened(**OWN, origin="o", vkey="v"))
    made.apply(control.GatewayStarted(**OWN, version="1"))
    made.sessions = {"s": 1, "t": 1}
    return made


def test_a_kill_changes_the_state_of_that_session_alone(state):
    index = state.apply(killed("s"))
    assert state.changed["session:s"] == index
    assert set(state.sessions) == {"t"}
    assert "session:t" not in state.changed


def test_a_session_is_killed_once_and_must_be_open(state):
    state.apply(killed("s"))
    for session in ("s", "nobody"):
        with pytest.raises(FoldError):
            state.apply(killed(session))
    state.apply(control.GatewayStarted(**OWN, version="1"))
    with pytest.raises(FoldError):
        state.apply(killed("t"))
