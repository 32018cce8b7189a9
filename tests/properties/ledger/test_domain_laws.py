"""Laws of domains, whatever entries come: one epoch in force, numbers and ids that never come again."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.derivations import DERIVATIONS
from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_control_domains as domains
from ringfort.ledger import entry_control_grants as granting
from ringfort.ledger.domains import ERASED, IN_FORCE, asked_since, domain_key
from ringfort.ledger.entry import decode, encode, format_time
from ringfort.ledger.errors import FoldError
from ringfort.ledger.folds import ControlState

START = datetime(2026, 11, 20, 10, tzinfo=UTC)
LINES = [("ACME Inc", "analytics"), ("ACME Inc", "support"), ("Other", "analytics")]


def basic(seconds=0):
    return {"time": format_time(START + timedelta(seconds=seconds)), "actor": "test"}


def opened_log():
    state = ControlState()
    state.apply(control.LogOpened(**basic(), origin="o", vkey="v"))
    for name in ("ann", "bob"):
        state.apply(
            control.PrincipalRegistered(**basic(), name=name, country="IE", employer="", role="support")
        )
    for number, (kind, seconds) in enumerate(
        (("resolve", 500), ("bridge", 500), ("view", 500), ("resolve", 50))
    ):
        grant = f"g-{number}"
        state.apply(
            granting.GrantRequested(
                **basic(), grant=grant, principal="ann", purpose="p", ticket="t", tables=("d.t",), kind=kind,
                seconds=seconds, reason="", approvals=1, open_seconds=1000,
            )
        )  # fmt: skip
        state.apply(granting.GrantApproved(**basic(), grant=grant, approver="bob", input="0" * 64))
    return state


def act(kind, line, epoch, seconds, **facts):
    recipient, purpose = line
    shared = {**basic(seconds), "recipient": recipient, "purpose": purpose, "epoch": epoch}
    shared["domain"] = facts.pop("domain", f"{recipient}/{purpose}/{epoch}")
    if kind == "opened":
        return domains.DomainOpened(**shared, key_id="k")
    if kind.startswith("opened "):
        return domains.DomainOpenedDeriving(**shared, key_id="k", derivation=int(kind[7:]))
    if kind == "rotated":
        return domains.DomainRotated(**shared, key_id="k", by="root", reason="")
    if kind == "erased":
        return domains.DomainErased(**shared, by="root", reason="")
    asked = {
        "act": "a", "principal": "ann", "column": "d.t.c", "grant": "g-0", "asked": 3, "found": 2,
        "input": "0" * 64,
    } | facts  # fmt: skip
    if kind == "bridged":
        to = asked.pop("to_epoch", 2)
        asked["grant"] = facts.get("grant", "g-1")
        return domains.PseudonymsBridged(
            **shared, **asked, to_epoch=to, to_domain=f"{recipient}/{purpose}/{to}"
        )
    return domains.PseudonymsResolved(**shared, **asked)


acts = st.lists(
    st.builds(
        act,
        st.sampled_from(
            ["opened", "opened 1", "opened 2", "opened 3", "rotated", "erased", "resolved", "bridged"]
        ),
        st.sampled_from(LINES),
        st.integers(0, 4),
        st.integers(0, 600),
    ),
    max_size=40,
)


@given(acts)
def test_whatever_comes_the_laws_hold(entries):
    state = opened_log()
    ids = set()
    for entry in entries:
        before = state.copy()
        assert decode(encode(entry)) == entry
        try:
            state.apply(entry)
        except FoldError:
            assert state.copy() == before
            continue
        line = state.pseudonymisation[entry.recipient, entry.purpose]
        numbers = [each.number for each in line.epochs]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert sum(each.status == IN_FORCE for each in line.epochs) <= 1
        then = before.pseudonymisation.get((entry.recipient, entry.purpose))
        for epoch in then.epochs if then else ():
            if epoch.status == ERASED:
                assert line.epoch(epoch.number) == epoch
        if entry.TYPE in {"DomainOpened", "DomainRotated"}:
            assert entry.domain not in ids
            ids.add(entry.domain)
        if entry.TYPE.startswith("Domain"):
            assert state.changed[domain_key(entry.recipient, entry.purpose)] == state.size - 1
        for each in then.epochs if then else ():
            assert line.epoch(each.number).derivation == each.derivation
        begun = [epoch for each in state.pseudonymisation.values() for epoch in each.epochs]
        if entry.TYPE in {"DomainOpened", "DomainRotated"}:
            assert line.epochs[-1].derivation == max(epoch.derivation for epoch in begun)
        assert {epoch.derivation for epoch in begun} <= set(DERIVATIONS)
        known = {
            epoch.id
            for each in state.pseudonymisation.values()
            for epoch in each.epochs
            if epoch.status != ERASED
        }
        assert set(state.domains) == known


def with_epochs():
    state = opened_log()
    for entry in (
        act("opened", LINES[0], 1, 0), act("rotated", LINES[0], 2, 0), act("rotated", LINES[0], 3, 0),
        act("erased", LINES[0], 1, 0),
    ):  # fmt: skip
        state.apply(entry)
    return state


@pytest.mark.parametrize(
    "entry",
    [
        act("opened", LINES[0], 4, 1),  # one is in force
        act("opened", LINES[1], 3, 1),
        act("opened", LINES[1], 1, 1, domain="ACME Inc/analytics/1"),  # the id of an erased one
        act("rotated", LINES[1], 2, 1),
        act("rotated", LINES[0], 5, 1),
        act("erased", LINES[0], 1, 1),
        act("erased", LINES[0], 2, 1, domain="another"),
        act("erased", LINES[2], 1, 1),
        act("resolved", LINES[0], 1, 1),  # erased
        act("resolved", LINES[0], 4, 1),
        act("resolved", LINES[0], 3, 1, grant="g-9"),
        act("resolved", LINES[0], 3, 1, grant="g-2"),  # of another kind
        act("resolved", LINES[0], 3, 51, grant="g-3"),  # over
        act("resolved", LINES[0], 3, 1, principal="bob"),
        act("resolved", LINES[0], 3, 1, asked=0, found=0),
        act("resolved", LINES[0], 3, 1, asked=1, found=2),
        act("bridged", LINES[0], 3, 1, to_epoch=3),
        act("bridged", LINES[0], 3, 1, to_epoch=1),
        act("bridged", LINES[0], 2, 1, to_epoch=3, grant="g-0"),
    ],
)
def test_what_does_not_follow_changes_nothing(entry):
    state = with_epochs()
    before = state.copy()
    with pytest.raises(FoldError):
        state.apply(entry)
    assert state.copy() == before


def test_what_was_asked_is_counted_for_each_principal_and_domain():
    state = with_epochs()
    state.apply(act("opened", LINES[1], 1, 0))
    state.apply(act("resolved", LINES[0], 3, 10, asked=5))
    state.apply(act("resolved", LINES[0], 2, 20, asked=7))
    state.apply(act("bridged", LINES[0], 2, 20, to_epoch=3, asked=11))
    state.apply(act("resolved", LINES[1], 1, 30, asked=100))

    def count(line, after, who="ann"):
        return asked_since(state, who, *line, START + timedelta(seconds=after))

    assert [count(LINES[0], each) for each in (-1, 9, 10, 19, 20)] == [23, 23, 18, 18, 0]
    assert (count(LINES[1], 0), count(LINES[2], 0), count(LINES[0], 0, "bob")) == (100, 0, 0)
    state.apply(act("resolved", LINES[0], 3, 19, asked=3))  # the clock went back: it counts from 20 on
    assert [count(LINES[0], each) for each in (18, 19, 20)] == [21, 21, 0]


def test_a_clock_that_is_ahead_makes_nothing_forgotten_and_locks_nobody_out():
    state = with_epochs()
    state.apply(act("resolved", LINES[0], 3, 10, asked=5))
    ahead = {"time": format_time(START + timedelta(days=366)), "actor": "test"}
    asked = dataclasses.replace(act("resolved", LINES[0], 3, 11, asked=7), **ahead)
    with pytest.raises(FoldError, match="not in force"):
        state.apply(asked)  # the grant is over at that time
    state.apply(act("resolved", LINES[0], 3, 12, asked=2))
    assert asked_since(state, "ann", *LINES[0], START) == 7


def test_nobody_takes_a_grant_to_undo_pseudonyms_without_asking():
    state = opened_log()
    for kind in ("resolve", "bridge"):
        entry = granting.BreakGlassOpened(
            **basic(), grant="g-x", principal="ann", purpose="p", ticket="t", tables=("d.t",), kind=kind,
            seconds=60, reason="r", review_seconds=60, input="0" * 64,
        )  # fmt: skip
        with pytest.raises(FoldError, match="takes an approval"):
            state.apply(entry)


def of_derivation(number, line=LINES[1]):
    return act("opened" if number is None else f"opened {number}", line, 1, 0)


@pytest.mark.parametrize(
    ("first", "second"), [(None, None), (None, 2), (2, 2)], ids=["old, old", "old, new", "new, new"]
)
def test_derivations_go_on_or_up(first, second):
    state = opened_log()
    state.apply(of_derivation(first, LINES[0]))
    state.apply(of_derivation(second, LINES[2]))
    found = [each.epochs[0].derivation for each in state.pseudonymisation.values()]
    assert found == [first or 1, second or 1]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (of_derivation(None), "goes back"),  # by a process of before, in another domain
        (act("rotated", LINES[0], 2, 0), "goes back"),
        (of_derivation(0), "not known"),
        (of_derivation(1), "not known"),  # those of the first do not name it
        (of_derivation(3), "not known"),
        (of_derivation(2**53 - 1), "not known"),
    ],
)
def test_a_derivation_is_never_lowered_and_never_made_up(entry, words):
    state = opened_log()
    state.apply(of_derivation(2, LINES[0]))
    before = state.copy()
    with pytest.raises(FoldError, match=words):
        state.apply(entry)
    assert state.copy() == before


def test_erasing_what_was_newer_does_not_lead_back():
    state = opened_log()
    state.apply(of_derivation(2, LINES[0]))
    state.apply(act("erased", LINES[0], 1, 1))
    with pytest.raises(FoldError, match="goes back"):
        state.apply(act("opened", LINES[0], 2, 2))
