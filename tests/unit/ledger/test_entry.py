from __future__ import annotations

import json

import pytest
from tests.unit.ledger.ledger_in_memory import BASIC, DIGEST, TIME, admitted, session_opened

from ringfort.ledger import entry_control as control
from ringfort.ledger.entry import Entry, canonical, check, decode, encode
from ringfort.ledger.entry_templates import AdmittedTemplate, StatementForm
from ringfort.ledger.errors import EntryError


def variant(**changes):
    values = json.loads(encode(admitted("s1", 1, 2)))
    values.update(changes)
    return canonical({name: value for name, value in values.items() if value is not None})


def test_an_entry_reads_as_the_specification_says():
    entry = control.PrincipalRemoved(time=TIME, actor="operator:niamh", name='maeve "x" ü')
    assert encode(entry).decode() == (
        '{"actor":"operator:niamh","name":"maeve \\"x\\" ü","time":"2026-11-21T12:00:00.000000Z",'
        '"type":"PrincipalRemoved","v":1}'
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"type": "StatementForgotten"}, "unknown type"),
        ({"v": 2}, "unknown type or version"),
        ({"v": "1"}, "type and version"),
        ({"v": True}, "type and version"),
        ({"type": None}, "type and version"),
        ({"colour": "red"}, "unknown field"),
        ({"kind": None}, "no `kind`"),
        ({"kind": ""}, "`kind`"),
        ({"kind": 7}, "`kind`"),
        ({"seq": "1"}, "`seq`"),
        ({"seq": -1}, "`seq`"),
        ({"seq": True}, "`seq`"),
        ({"evidence": DIGEST.upper()}, "`evidence`"),
        ({"evidence": DIGEST[:-1]}, "`evidence`"),
        ({"evidence": ""}, "`evidence`"),
        ({"time": "2026-11-21 12:00:00Z"}, "`time`"),
        ({"time": "2026-02-30T12:00:00Z"}, "`time`"),
        ({"time": "2026-11-21T24:00:00Z"}, "`time`"),
        ({"time": "2026-11-21T12:00:00+00:00"}, "`time`"),
        ({"actor": ""}, "`actor`"),
    ],
)
def test_what_is_not_exactly_an_entry_is_refused(change, why):
    with pytest.raises(EntryError, match=why):
        decode(variant(**change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type":"GatewayStopped"}',
        b"\xff",
        b'{"actor":"a","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1.0}',
        b'{"actor":"a","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1} ',
        b'{"actor": "a","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1}',
        b'{"time":"2026-11-21T12:00:00Z","actor":"a","type":"GatewayStopped","v":1}',
        b'{"actor":"b","actor":"a","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1}',
        b'{"actor":"\\u0061","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1}',
        b'{"actor":"\\ud800","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1}',
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"x" * 65_536,
    ],
)
def test_hostile_bytes_are_refused(data):
    with pytest.raises(EntryError):
        decode(data)


def test_the_plain_form_is_accepted():
    data = b'{"actor":"a","time":"2026-11-21T12:00:00Z","type":"GatewayStopped","v":1}'
    assert decode(data) == control.GatewayStopped(time="2026-11-21T12:00:00Z", actor="a")
    assert check(data)[0].log == "control"


@pytest.mark.parametrize(
    "viewer",
    [
        [{"source": "token"}],
        [{"source": "", "country": "IE"}],
        [{"source": "token", "country": "ie"}],
        [{"source": "token", "country": "IE", "x": 1}],
        ["token"],
        {"source": "token", "country": "IE"},
    ],
)
def test_malformed_viewers_are_refused(viewer):
    values = json.loads(encode(session_opened("s1")))
    with pytest.raises(EntryError, match="viewer"):
        decode(canonical({**values, "viewer": viewer}))


@pytest.mark.parametrize(
    "end", [["s1", 1, 2, 3], ["s1", 1, 2, 3, ""], ["", 1, 2, 3, "x"], ["s1", -1, 2, 3, "x"]]
)
def test_malformed_ends_are_refused(end):
    with pytest.raises(EntryError, match="ended"):
        decode(canonical({**BASIC, "type": "StatementsEnded", "v": 1, "ended": [end]}))


def test_what_cannot_be_decoded_cannot_be_encoded():
    for entry in (
        control.PrincipalRemoved(**BASIC, name=""),
        control.PrincipalRemoved(**BASIC, name="\ud800"),
        control.PrincipalRemoved(**BASIC, name=7),
        admitted("s1", -1, 0),
        admitted("s1", 1 << 53, 0),
        Entry(**BASIC),
    ):
        with pytest.raises(EntryError):
            encode(entry)


def test_an_entry_holds_at_most_64_kib():
    fits = control.PrincipalRemoved(**BASIC, name="x" * 65_000)
    assert decode(encode(fits)) == fits
    with pytest.raises(EntryError, match="longer") as raised:
        encode(control.PrincipalRemoved(**BASIC, name="x" * 65_535))
    assert "blob" in raised.value.hint


def test_canonical_refuses_what_it_cannot_hold():
    for value in (1.5, float("nan"), 1 << 60, {"ü": 1}, {1: 2}, "\ud800", {"a": [1.0]}, object()):
        with pytest.raises(EntryError):
            canonical(value)


def test_error_texts_show_no_value():
    with pytest.raises(EntryError) as raised:
        decode(variant(evidence="somebody@example.com"))
    assert "somebody" not in str(raised.value)


@pytest.mark.parametrize("parts", [("", "s"), ("a", ""), ("a" * 200, "s" * 200)])
def test_a_template_refuses_what_makes_no_entry(parts):
    with pytest.raises(EntryError):
        AdmittedTemplate(*parts)


def test_a_form_refuses_what_makes_no_entry():
    for kind, shape in (("", "{}"), ("read", "x" * 65_000), ("read", "\ud800")):
        with pytest.raises(EntryError):
            StatementForm(kind, shape)
