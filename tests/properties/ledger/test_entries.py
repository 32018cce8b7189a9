from __future__ import annotations

import dataclasses
import json
import operator
from datetime import UTC, datetime

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.entry import (
    MAX_INTEGER,
    EvidenceStream,
    JournalPosition,
    StatementEnd,
    Viewer,
    canonical,
    check,
    decode,
    encode,
    entry_types,
    format_time,
)
from ringfort.ledger.entry_templates import AdmittedTemplate, StatementForm
from ringfort.ledger.errors import EntryError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
counts = st.integers(0, MAX_INTEGER)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
countries = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)
times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(  # noqa: DTZ001 - made aware below
    lambda each: format_time(each.replace(tzinfo=UTC))
)


def each_once(members, key):
    """Lists that name each of something once, in order."""
    named = operator.attrgetter(key)
    return st.lists(members, max_size=4, unique_by=named).map(lambda each: tuple(sorted(each, key=named)))


FIELDS = {
    "Time": times,
    "Name": names,
    "Text": texts,
    "Stated": texts,
    "StatedName": names,
    "Digest": digests,
    "OptionalDigest": digests | st.just(""),
    "Country": countries,
    "OptionalCountry": countries | st.just(""),
    "Count": counts,
    "ActKind": st.sampled_from(["erase", "rotate", "rewrap", "canary", "drop-evidence"]),
    "GrantKind": st.sampled_from(["view", "operate"]),
    "tuple[Name, ...]": st.sets(names, min_size=1, max_size=4).map(lambda each: tuple(sorted(each))),
    "tuple[Viewer, ...]": st.lists(st.builds(Viewer, names, countries | st.just("")), max_size=4).map(tuple),
    "tuple[EvidenceStream, ...]": each_once(
        st.builds(EvidenceStream, names, counts, counts, counts, counts, digests), "stream"
    ),
    "tuple[JournalPosition, ...]": each_once(st.builds(JournalPosition, names, counts, digests), "lane"),
    "tuple[StatementEnd, ...]": st.lists(
        st.builds(StatementEnd, names, counts, counts, counts, names), max_size=4
    ).map(tuple),
}
ENTRIES = st.one_of(
    st.builds(spec.kind, **{each.name: FIELDS[each.type] for each in dataclasses.fields(spec.kind)})
    for spec in entry_types().values()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(max_codepoint=126), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(ENTRIES)
def test_decoding_is_the_inverse_of_encoding(entry):
    data = encode(entry)
    assert decode(data) == entry
    assert encode(decode(data)) == data


@given(ENTRIES)
def test_entries_are_rfc_8785(entry):
    data = encode(entry)
    assert rfc8785.dumps(json.loads(data)) == data


@given(JSON)
def test_canonical_is_rfc_8785(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(ENTRIES, st.data())
def test_a_changed_byte_is_refused_or_decodes_to_another_entry(entry, data):
    encoded = bytearray(encode(entry))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(encoded))
    except EntryError:
        return
    assert changed != entry
    assert encode(changed) == encoded


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_refused(data):
    with pytest.raises(EntryError):
        check(data)


@given(names, names, counts, counts, names, texts, digests, times)
def test_the_template_renders_what_the_dataclass_encodes(  # noqa: PLR0917 - one strategy each
    actor, session, seq, size, kind, shape, digest, time
):
    entry = traffic.StatementAdmitted(
        time=time,
        actor=actor,
        session=session,
        seq=seq,
        control=size,
        kind=kind,
        shape=shape,
        evidence=digest,
    )
    template = AdmittedTemplate(actor, session)
    form = StatementForm(kind, shape)
    assert template.render(seq, size, form, digest, time) == encode(entry)
    assert template.render(seq, 0, form, digest, time) == encode(dataclasses.replace(entry, control=0))


def test_every_type_names_its_log_and_retention():
    for (name, version), spec in entry_types().items():
        assert spec.kind.__name__ == name or version > 1
        assert (name, version) == (spec.kind.TYPE, spec.kind.VERSION)
        assert (
            "control" if spec.kind.__module__.startswith(control.__name__) else "traffic"
        ) == spec.kind.LOG
        assert spec.kind.RETENTION in {"permanent", "shard"}
