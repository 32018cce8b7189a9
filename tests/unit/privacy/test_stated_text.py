"""The one rule for words of people in the record: what passes, what does not, and every way into the log."""

from __future__ import annotations

import dataclasses

import pytest

from ringfort.errors import UsageError
from ringfort.ledger import entry_control
from ringfort.ledger.entry import CONTROL, canonical, encode, entry_types
from ringfort.policy.contract import Contract
from ringfort.privacy.stated_text import MOST_CHARACTERS, is_stated, stated
from ringfort.record.admission import read_control_entry
from ringfort.record.errors import RefusedError

REFUSED = {
    "e-mail": (
        "mail jan@example.org",
        "jan(at)example.org",
        "jan at example dot org",
        "jan [at] example",
        "jan\uff20example.org",
        "jan\ufe6bexample.org",
        "jan {at} example {dot} org",
        "jan AT example DOT org",
        "jan_at_example_dot_org",
        "jan-at-example-dot-org",
        "jan arroba example punto es",
        "jan@ops",
        "jan at example.org",
        "jan ( at ) example . org",
        "jan%40example.org",
        "jan&#64;example.org",
        "jan\\u0040example.org",
        "amFuQGV4YW1wbGUub3Jn",
        "jan \u24d0 example.org",
    ),
    "number": (
        "0871.234.567",
        "\uff10\uff18\uff17\uff11\uff12\uff13\uff14\uff15\uff16\uff17",
        "\u0660\u0668\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
        "0 8 7 1 2 3 4 5 6 7",
        "+353 87 123 4567",
        "(087) 123-4567",
        "087/123/4567",
        "0871\u00b7234\u00b7567",
        "0871_234_567",
        "0871\u2014234\u2014567",
        "0871\u00a0234\u00a0567",
        "call 087, 123, 4567",
        "08:71:23:45:67",
        "06.12.11.22.33",
        "00353871234567",
        "123456",
        "987654321",
        "\u2467\u2466\u2460\u2461\u2462\u2463\u2464\u2465",
        "\u277d\u277c\u2776\u2777\u2778\u2779\u277a",
        "\u3007\u516b\u4e03\u4e00\u4e8c\u4e09\u56db",
        "0\u03388\u03387\u03381\u03382\u03383\u03384\u0338",
        "\U0001d7ce\U0001d7d6\U0001d7d5\U0001d7cf\U0001d7d0\U0001d7d1",
        "T-0871234567",
        "T-0871 2345",
        "TEL-0871234",
        "CUST-00012345",
        "#0871234567",
        "19871230-4567",
        "1987-12-30-4567",
        "BSN-123456782",
        "1234567T",
        "RSSMRA85T10A562S",
        "756.9217.0769.85",
        "IE29AIBK93115212345678",
        "ie29 aibk 9311 5212 3456 78",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "10.20.30.40",
        "2001:db8::42:1",
    ),
    "unseen": (
        "a\nb",
        "a\r\nb",
        "a\x85b",
        "a\u2028b",
        "tab\tb",
        "a\x00b",
        "a\x1b[31mb",
        "a\u202eb",
        "a\u2066b",
        "a\u200bb",
        "a\u00adb",
        "a\ufe0fb",
        "a\u3164b",
        "a\u115fb",
        "\U000e0041",
        "a\ue000b",
        "\ud800",
        "a\u0338\u0338\u0338\u0338b",
        "0\u200b8\u200b7\u200b1",
    ),
    "long": ("x" * (MOST_CHARACTERS + 1), "\ufdfa" * 20, "y" * 100_000),
}
PASSES = (
    "",
    "INC-20261127-0042",
    "JIRA-1234",
    "#4711",
    "INC0012345",
    "T-1",
    "TIA-2026-014",
    "SR-2026-004711",
    "ACME-SEC-2026-0012",
    "RITM0010001",
    "CASE-00123456",
    "see INC-20261127-0042, left the building",
    "T-1 T-2 T-3",
    "2026-11-27",
    "27.11.2026",
    "27/11/2026",
    "11/27/2026",
    "27.11.26",
    "2026-11",
    "11/2026",
    "2024-2026",
    "2026-11-27T10:15:00Z",
    "2026-11-27T10:15:00.123456Z",
    "2026-11-27T10:15:00+01:00",
    "20261127T101500Z",
    "2026-11-27 10:15",
    "2026-11-27 10:15 to 2026-11-27 12:00",
    "10:15",
    "10:15-11:45",
    "at 10:30 the import failed",
    "at 10.30am",
    "meet at noon: gate",
    "look at the queue. Then stop",
    "port 54321",
    "12,345 rows",
    "g-12345678",
    "4be59f725ba46edef971e160",
    "a1b2c3d4-1234-5678-9abc-def012345678",
    "customer-support",
    "payments fail",
    "M\u00fcller GmbH & Co. KG",
    "Soci\u00e9t\u00e9 G\u00e9n\u00e9rale",
    "\u65e5\u672c\u682a\u5f0f\u4f1a\u793e",
    "PostgreSQL 15.8",
    "ISO 27001",
    "Art. 46(2)(a)",
    "24/7",
    "half of 2026 (Q3)",
    "ordering of 3 at once",
)


@pytest.mark.parametrize("text", [each for texts in REFUSED.values() for each in texts])
def test_what_looks_like_personal_data_is_refused_and_not_echoed(text):
    with pytest.raises(UsageError) as caught:
        stated(text)
    assert not is_stated(text)
    assert caught.value.hint
    said = f"{caught.value.message} {caught.value.hint}"
    assert text.strip() not in said
    assert "reason" in said


@pytest.mark.parametrize("text", PASSES)
def test_tickets_dates_and_plain_words_pass(text):
    assert stated(text) == text
    assert is_stated(text)


def test_what_is_recorded_is_the_canonical_form():
    assert stated("  \uff34\uff0d\uff11 caf\u0065\u0301\u00a0x ") == "T-1 caf\u00e9 x"
    assert not is_stated("\uff34-1")
    assert not is_stated(" T-1")


def test_the_error_says_what_looks_like_what_and_where():
    with pytest.raises(UsageError, match="characters 6 to 17 of the ticket look like a telephone number"):
        stated("call 0871.234.567 now", "ticket")
    with pytest.raises(UsageError, match="character 2 of the reason is a line break"):
        stated("a\nb")


# -- every way in --------------------------------------------------------------------------------------------

NOT_WORDS = {
    "an id, key, digest or name that the program makes or reads from configuration or the catalogue": {
        "actor",
        "origin",
        "vkey",
        "evaluator",
        "version",
        "domain",
        "key_id",
        "to_domain",
        "site",
        "database",
        "outcome",
        "shard",
        "session",
        "grant",
        "act",
        "column",
        "tables",
        "run",
        "manifest",
        "canary",
        "kek",
        "store",
        "effects",
    },
    "the name that somebody connects as, which their credentials carry, or their account on the machine": {
        "name",
        "principal",
        "approver",
        "reviewer",
        "manager",
        "owner",
        "by",
        "method",
        "subject",
    },
}
DERIVED = {
    ("ActRequested", "recipient"),
    ("ActRequested", "purpose"),
    ("DomainOpened", "recipient"),
    ("DomainOpened", "purpose"),
    ("DomainRotated", "recipient"),
    ("DomainRotated", "purpose"),
    ("DomainErased", "recipient"),
    ("DomainErased", "purpose"),
    ("PseudonymsResolved", "recipient"),
    ("PseudonymsResolved", "purpose"),
    ("PseudonymsBridged", "recipient"),
    ("PseudonymsBridged", "purpose"),
    ("TransferApproved", "recipient"),
    ("TransferWithdrawn", "transfer"),
    ("TransferStarted", "transfer"),
    ("TransferStarted", "recipient"),
    ("TransferStarted", "purpose"),
    ("TransferStopped", "transfer"),
    ("TransferReleased", "transfer"),
    ("TransferReleased", "recipient"),
    ("TransferPublished", "transfer"),
    ("TransferNotPublished", "transfer"),
    ("TransferDeleted", "transfer"),
}
"""Employers, purposes and names of contracts that were screened when they were stated first."""
TEXTS = {"Name", "Text", "Stated", "StatedName", "tuple[Name, ...]"}


def text_fields():
    for spec in entry_types().values():
        if spec.log == CONTROL and spec.kind.__module__.startswith("ringfort."):
            for each in dataclasses.fields(spec.kind):
                if str(each.type) in TEXTS:
                    yield spec, each.name


def test_every_text_of_an_entry_is_words_of_a_person_or_known_not_to_be():
    known = set().union(*NOT_WORDS.values())
    unclear = [
        f"{spec.kind.TYPE}.{name}"
        for spec, name in text_fields()
        if name not in spec.stated and name not in known and (spec.kind.TYPE, name) not in DERIVED
    ]
    assert not unclear, "declare them `Stated`, or say above why nobody states them"


STATED_FIELDS = [
    (spec, name)
    for spec, name in text_fields()
    if name in spec.stated and spec.kind not in entry_control.SUPERSEDED
]
SAMPLES = {
    "tuple[EvidenceStream, ...]": [],
    "Time": "2026-11-21T12:00:00.000000Z",
    "Name": "x",
    "Text": "",
    "Stated": "",
    "StatedName": "x",
    "Digest": "ab" * 32,
    "OptionalDigest": "",
    "Country": "IE",
    "OptionalCountry": "",
    "Count": 1,
    "GrantKind": "view",
    "ActKind": "rotate",
    "tuple[Name, ...]": ["x"],
    "tuple[Viewer, ...]": [],
    "tuple[StatementEnd, ...]": [],
}


def entry_bytes(spec, **changes):
    values = {each.name: SAMPLES[str(each.type)] for each in dataclasses.fields(spec.kind)}
    return canonical({**values, "type": spec.kind.TYPE, "v": spec.kind.VERSION, **changes})


@pytest.mark.parametrize(
    ("spec", "name"),
    STATED_FIELDS,
    ids=[f"{s.kind.TYPE}-{s.kind.VERSION}-{name}" for s, name in STATED_FIELDS],
)
def test_the_writer_takes_no_entry_with_words_that_were_not_screened(spec, name):
    assert encode(read_control_entry(entry_bytes(spec))) == entry_bytes(spec)
    for text in ("jan(at)example.org", "0871.234.567", "a\u202eb", "\uff34-1", "two\nlines"):
        with pytest.raises(RefusedError, match=f"`{name}`"):
            read_control_entry(entry_bytes(spec, **{name: text}))


def test_the_types_with_words_are_those_that_people_write():
    assert {spec.kind.TYPE for spec, _ in STATED_FIELDS} >= {
        "PrincipalRegistered",
        "SessionOpened",
        "SessionKilled",
        "DomainRotated",
        "DomainErased",
        "GrantRequested",
        "GrantDenied",
        "GrantRevoked",
        "BreakGlassOpened",
        "BreakGlassReviewed",
        "TransferApproved",
        "TransferWithdrawn",
        "TransferDeleted",
    }
    assert entry_control.SessionOpened in {spec.kind for spec, _ in STATED_FIELDS}


def test_every_text_of_a_contract_is_screened_or_known_to_be_none():
    screened = {"name", "purpose", "recipient", "assessment"}
    known = {"dataset", "owner", "approver", "mechanism", "schedule", "cap_per", "output", "source_country"}
    places = {"target", "tables", "seal", "retention_days", "cap_rows", "cap_bytes", "smallest_group"}
    assert {each.name for each in dataclasses.fields(Contract)} == screened | known | places
