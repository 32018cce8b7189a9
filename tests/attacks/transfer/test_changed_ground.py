"""An approval of a transfer stands on what it was decided on: what changes before its entry refuses it."""

from datetime import UTC, datetime

import pytest
from tests.transfer_deployment import NAME, make

from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control import CatalogueActivated, PolicyActivated, PrincipalRegistered
from ringfort.ledger.errors import ConditionFailedError
from ringfort.record.client import open_ledger
from ringfort.transfer.desk import TransferDesk, read_contract


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return make(tmp_path_factory.mktemp("ground") / "shop", rows=60)


@pytest.fixture
def fresh(deployed):
    return deployed.write()


def anew(state, name):
    known = state.principals[name]
    facts = {"country": known.country, "employer": known.employer, "role": known.role}
    return PrincipalRegistered(**basic(), name=name, **facts)


def basic():
    return {"time": format_time(datetime.now(UTC)), "actor": "operator"}


CHANGES = {
    "approver": lambda state, contract: anew(state, contract.approver),
    "owner": lambda state, contract: anew(state, contract.owner),
    "recipient": lambda state, contract: anew(state, contract.recipient.principal),
    "policy": lambda state, _: PolicyActivated(**basic(), bundle=state.policy, evaluator=state.evaluator),
    "catalogue": lambda state, _: CatalogueActivated(**basic(), catalogue=state.catalogue),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_between_decision_and_entry_refuses_it(fresh, what):
    stated = read_contract(fresh.folder, NAME)
    with open_ledger(fresh.folder) as ledger:
        desk = TransferDesk(fresh.config, ledger, stated)
        ledger.append([CHANGES[what](ledger.state, stated.contract)])
        before = ledger.state.size
        with pytest.raises(ConditionFailedError):
            desk.approve(stated.contract.approver)
        assert ledger.state.size == before
    fresh.approve()  # on firm ground it is taken
