"""The fold of transfers: what may follow what, whoever writes the entries."""

import hashlib
from dataclasses import replace

import pytest

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_transfers as transfers
from ringfort.ledger.entry import decode, encode
from ringfort.ledger.errors import ConditionFailedError, FoldError
from ringfort.ledger.folds import Condition, ControlState

TIME = "2026-11-22T10:00:00.000000Z"
LATER = "2026-11-23T10:00:00.000000Z"
BASIC = {"time": TIME, "actor": "tester"}


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def state():
    made = ControlState()
    made.apply(control.LogOpened(**BASIC, origin="o.example/x", vkey="k"))
    made.apply(control.PolicyActivated(**BASIC, bundle=digest("policy"), evaluator="e"))
    made.apply(control.CatalogueActivated(**BASIC, catalogue=digest("catalogue")))
    for name, country in (("acme", "US"), ("olga", "IE"), ("ronan", "IE")):
        made.apply(
            control.PrincipalRegistered(**BASIC, name=name, country=country, employer="x", role="analyst")
        )
    return made


def approval(**changes):
    facts = {"transfer": "t", "contract": digest("contract"), "recipient": "acme", "owner": "olga",
             "approver": "ronan", "input": digest("input")}  # fmt: skip
    return transfers.TransferApproved(**BASIC, **(facts | changes))


def start(run="r-1", **changes):
    facts = {"transfer": "t", "run": run, "contract": digest("contract"), "recipient": "Acme",
             "principal": "acme", "purpose": "p", "storage_country": "IE", "viewing_country": "US",
             "input": digest("input"),
             "map": digest("map"), "policy": digest("policy"), "catalogue": digest("catalogue"),
             "evaluator": "e"}  # fmt: skip
    return transfers.TransferStarted(**BASIC, **(facts | changes))


def release(run="r-1", **changes):
    facts = {"transfer": "t", "run": run, "contract": digest("contract"), "manifest": digest("manifest"),
             "vkey": "k", "recipient": "Acme", "country": "US", "files": 2, "rows": 10, "bytes": 100,
             "retention_seconds": 86_400, "measures": digest("measures")}  # fmt: skip
    return transfers.TransferReleased(**(BASIC | {"time": changes.pop("time", TIME)}), **(facts | changes))


def stop(run="r-1"):
    return transfers.TransferStopped(
        **BASIC, transfer="t", run=run, outcome="inspection", findings=digest("f")
    )


def publish(run="r-1"):
    return transfers.TransferPublished(**BASIC, transfer="t", run=run)


def give_up(run="r-1", **changes):
    facts = {"outcome": "changed", "findings": digest("findings"), "files": 0, "rows": 0, "bytes": 0}
    return transfers.TransferNotPublished(**BASIC, transfer="t", run=run, **(facts | changes))


def delete(run="r-1"):
    return transfers.TransferDeleted(**BASIC, transfer="t", run=run, reference="DEL-1", by="olga")


def withdraw(who="ronan"):
    return transfers.TransferWithdrawn(**BASIC, transfer="t", principal=who, reason="")


def folded(*entries, onto=None):
    made = onto or state()
    for each in entries:
        made.apply(decode(encode(each)))
    return made


def test_a_transfer_is_approved_started_released_published_and_deleted():
    made = folded(approval(), start(), release(), publish(), delete())
    found = made.transfers["t"]
    (run,) = found.runs
    assert (found.approved, found.approver) == (digest("contract"), "ronan")
    assert (run.status, run.rows, run.bytes, run.files, run.deleted) == ("published", 10, 100, 2, "DEL-1")
    assert run.index == made.size - 3
    assert run.delete_by.isoformat() == "2026-11-23T10:00:00+00:00"
    assert found.open_run is None
    assert found.run("r-1") is run
    assert made.copy().transfers == made.transfers


@pytest.mark.parametrize(
    ("before", "entry", "word"),
    [
        ((), start(), "never approved"),
        ((approval(),), start(contract=digest("other")), "not approved"),
        ((approval(),), start(principal="olga"), "another recipient"),
        ((approval(),), start(policy=digest("other")), "policy that is not in force"),
        ((approval(),), start(catalogue=digest("other")), "catalogue that is not in force"),
        ((approval(),), start(evaluator="f"), "evaluator that is not in force"),
        ((approval(), start()), start("r-2"), "only open run"),
        ((approval(), start(), stop()), start(), "only open run"),
        ((approval(), withdraw()), start(), "not approved"),
        ((approval(), start(), withdraw()), release(), "not approved"),
        ((approval(), start(), stop()), release(), "not started"),
        ((approval(), start(), release()), release(), "not started"),
        ((approval(), start(), release()), stop(), "not started"),
        ((approval(), start()), publish(), "not released"),
        ((approval(), start(), release(), publish()), publish(), "not released"),
        ((approval(), start()), give_up(), "not released"),
        ((approval(), start(), stop()), give_up(), "not released"),
        ((approval(), start(), release(), publish()), give_up(), "not released"),
        ((approval(), start(), release(), give_up()), give_up(), "not released"),
        ((approval(), start(), release(), give_up()), publish(), "not released"),
        ((approval(), start(), release(), give_up()), release(), "not started"),
        ((approval(), start(), release(), give_up()), delete(), "no released run"),
        ((approval(), start(), release()), give_up(files=3), "more that left"),
        ((approval(), start(), release()), give_up(files=2, rows=11), "more that left"),
        ((approval(), start(), release()), give_up(files=2, rows=10, bytes=101), "more that left"),
        ((approval(), start(), release()), give_up(rows=1), "without a file"),
        ((approval(), start()), release(country="IE"), "another recipient"),
        ((approval(), start()), release(recipient="Other"), "another recipient"),
        ((approval(), start()), release(retention_seconds=0), "retention"),
        ((approval(), start()), release(contract=digest("other")), "not approved"),
        ((approval(), start()), delete(), "no released run"),
        ((approval(), start(), release(), delete()), delete(), "no released run"),
        ((), withdraw(), "never approved"),
        ((approval(), withdraw()), withdraw(), "not approved"),
        ((approval(),), withdraw("acme"), "neither by"),
        ((), approval(approver="olga"), "owner or recipient"),
        ((), approval(approver="acme"), "owner or recipient"),
        ((), approval(owner="nobody"), "not registered"),
    ],
)
def test_what_does_not_follow_is_refused_and_changes_nothing(before, entry, word):
    made = folded(*before)
    left = (made.size, dict(made.transfers), dict(made.changed))
    with pytest.raises(FoldError, match=word):
        made.apply(entry)
    assert (made.size, made.transfers, made.changed) == left


def test_a_release_of_which_nothing_left_counts_nowhere_and_is_not_to_be_deleted():
    (run,) = folded(approval(), start(), release(), give_up(outcome="withdrawn")).transfers["t"].runs
    assert (run.status, run.outcome, run.held) == ("not published", "withdrawn", False)
    assert (run.released, run.delete_by, run.files, run.rows, run.bytes) == (None, None, 0, 0, 0)
    assert (run.manifest, run.index >= 0) == (release().manifest, True)


def test_what_had_left_of_a_release_that_is_given_up_counts_and_is_to_be_deleted():
    made = folded(approval(), start(), release(), give_up(files=1, rows=4, bytes=40))
    (run,) = made.transfers["t"].runs
    assert (run.status, run.held, run.files, run.rows, run.bytes) == ("not published", True, 1, 4, 40)
    assert run.delete_by.isoformat() == "2026-11-23T10:00:00+00:00"
    (run,) = folded(delete(), onto=made).transfers["t"].runs
    assert (run.deleted, run.held) == ("DEL-1", False)


def test_another_run_begins_after_one_was_given_up():
    made = folded(approval(), start(), release(), give_up(), start("r-2"), release("r-2"), publish("r-2"))
    assert [each.status for each in made.transfers["t"].runs] == ["not published", "published"]


def test_a_policy_that_changes_meanwhile_lets_nothing_leave():
    made = folded(approval(), start())
    made.apply(control.PolicyActivated(**BASIC, bundle=digest("new"), evaluator="e"))
    with pytest.raises(FoldError, match="policy or catalogue"):
        made.apply(release())
    folded(stop(), onto=made)


@pytest.mark.parametrize("who", ["acme", "olga", "ronan"])
def test_an_approval_ends_with_the_people_whom_it_names(who):
    removed = folded(approval(), control.PrincipalRemoved(**BASIC, name=who))
    assert not removed.transfers["t"].approved
    anew = control.PrincipalRegistered(**BASIC, name=who, country="IE", employer="y", role="analyst")
    assert not folded(approval(), anew).transfers["t"].approved


def test_another_approval_replaces_and_keeps_the_runs():
    made = folded(approval(), start(), release(), publish(), approval(contract=digest("next")))
    assert made.transfers["t"].approved == digest("next")
    assert len(made.transfers["t"].runs) == 1


def test_conditions_see_every_change_of_a_transfer():
    made = folded(approval())
    since = made.size
    made.require(Condition(("transfer:t",), since))
    made.apply(start())
    with pytest.raises(ConditionFailedError):
        made.require(Condition(("transfer:t",), since))


def test_entries_come_back_and_hold_no_unknown_field():
    for each in (approval(), withdraw(), start(), stop(), release(), publish(), give_up(), delete()):
        assert decode(encode(each)) == each
        assert each.LOG == "control"
    assert decode(encode(replace(release(), rows=11))).rows == 11
