"""Inspection of batches: what is found in columns of every type, what is in order, and what is never told."""

import json
import pickle
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.privacy.inspected import KEY, fingerprints, found, plan

from ringfort.privacy.inspection import (
    ColumnRule,
    InspectionResult,
    inspect_batch,
    inspector,
    tolerable_kinds,
)

MAIL = "mark.er-9@example.org"
CARD = 4111111111111111


def look(column, *rules, **more):
    return inspect_batch(plan(*rules, **more), pa.record_batch({"c": column}))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", f"see {MAIL}, ok", None]),
        pa.array(["x", f"see {MAIL}, ok", None], pa.large_string()),
        pa.array(["x", f"see {MAIL}, ok", None]).cast(pa.string_view()),
        pa.array(["x", f"see {MAIL}, ok", None]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.uint8()), pa.array([MAIL, "x"])),
        pa.array(["padding", "x", MAIL, None]).slice(1),
        pa.array([["x"], ["y", MAIL, MAIL], None]),
        pa.array([{"a": "x", "b": 1}, {"a": MAIL, "b": 2}, None]),
        pa.array([[("k", "x")], [("k", MAIL)], None], pa.map_(pa.string(), pa.string())),
        pa.array([b"x", MAIL.encode(), None]),
        pa.array([json.dumps({"to": [MAIL]}), "{}", None]),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_every_type(column):
    assert found(look(column)) == {("c", "email"): 1}


def test_rows_are_counted_not_values():
    column = pa.array([MAIL, "x", MAIL, f"{MAIL} {MAIL}", None])
    assert found(look(column)) == {("c", "email"): 3}
    assert found(look(column.dictionary_encode())) == {("c", "email"): 3}


def test_a_value_that_only_a_dictionary_holds():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array(["x", MAIL]))
    assert found(look(column)) == {("c", "email"): 0}
    nothing = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string()))
    assert found(look(nothing)) == {}


def test_what_is_allowed_is_allowed_in_its_column_alone():
    batch = pa.record_batch({"c": [MAIL], "d": [MAIL]})
    assert found(inspect_batch(plan(ColumnRule("c", frozenset({"email"}))), batch)) == {("d", "email"): 1}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, CARD, None]),
        pa.array([1, CARD, None], pa.uint64()),
        pa.array([1.5, float(CARD), None]),
        pa.array([float("nan"), float(CARD), float("-inf")]),
        pa.array([Decimal("1.00"), Decimal(CARD), None], pa.decimal128(22, 2)),
        pa.array([1, CARD, None]).dictionary_encode(),
        pa.array([[1], [CARD], None]),
    ],
    ids=lambda column: str(column.type),
)
def test_cards_in_numbers(column):
    assert found(look(column)) == {("c", "card"): 1}


def test_numbers_that_are_no_cards():
    rng = np.random.default_rng(1)
    micros = rng.integers(1_500_000_000_000_000, 1_800_000_000_000_000, 5000)
    batch = pa.record_batch(
        {
            "micros": micros,
            "id": np.arange(5000) + 100_000_000,
            "small": np.arange(5000, dtype=np.int16),
            "double": rng.normal(size=5000) * 1e9,
            "minus": -micros,
            "money": pa.array([Decimal(int(each)).scaleb(-2) for each in micros], pa.decimal128(20, 2)),
            "extreme": pa.array([2**64 - 1] * 5000, pa.uint64()),
        }
    )
    assert found(inspect_batch(plan(known=fingerprints(phone=["+353 86 123 4567"])), batch)) == {}


def test_bytes_that_cannot_be_read():
    bytes_ = pa.array([b"\x01" * 16, None], pa.binary(16))
    assert found(look(bytes_)) == {("c", "binary"): 1}
    assert found(look(bytes_, ColumnRule("c", opaque=True))) == {}
    assert found(look(pa.ExtensionArray.from_storage(pa.uuid(), bytes_), ColumnRule("c", opaque=True))) == {}
    odd = pa.array([b"\xff\xfe", MAIL.encode(), b"ok", None])
    assert found(look(odd)) == {("c", "binary"): 1, ("c", "email"): 1}
    assert found(look(odd, ColumnRule("c", frozenset({"binary", "email"})))) == {}


def test_types_that_hold_nothing():
    batch = pa.record_batch(
        {
            "flag": [True],
            "day": pa.array([19000], pa.date32()),
            "time": pa.array([CARD], pa.timestamp("us")),
            "null": pa.nulls(1),
        }
    )
    assert found(inspect_batch(plan(), batch)) == {}


def test_known_identifiers_in_free_text():
    known = fingerprints(
        name=["Zoë Brannigan-Ó Sé", "May"], email=["zbs@example.net"], phone=["+353 86 123 4567"],
        iban=["IE64 IRCE 9205 0112 3456 78"], address=["12 Long Meadow Lane, Ballyknock"],
    )  # fmt: skip
    column = pa.array(
        [
            "spoke to BRANNIGAN, not to zoe  brannigan o se.",
            "may I",
            "at 12, long meadow lane (ballyknock)",
            "0861234567",
            "353 86-123-4567",
            "+353 (0)86 1234567",
            "ref IE64IRCE92050112345678",
            "ZBS @ EXAMPLE.NET",
        ]
    )
    rule = ColumnRule("c", frozenset({"phone", "iban", "email"}))
    assert found(look(column, rule, known=known)) == {
        ("c", "known_name"): 1, ("c", "known_address"): 1, ("c", "known_phone"): 2, ("c", "known_iban"): 1,
        ("c", "known_email"): 1,
    }  # fmt: skip


def test_known_numbers_in_columns_of_numbers():
    known = fingerprints(phone=["+353 86 123 4567", "+353 87 765 4321"])
    assert found(look(pa.array([353861234567, 17850]), known=known)) == {("c", "known_phone"): 1}


def test_what_chance_explains_is_no_finding():
    rng = np.random.default_rng(2)
    phones = np.unique(rng.integers(10**8, 2 * 10**8, 20_000))
    known = fingerprints(phone=[str(each) for each in phones])
    arbitrary = pa.array(rng.integers(10**8, 2 * 10**8, 50_000))
    assert np.isin(arbitrary, phones).sum() > 5  # some do match
    assert found(look(arbitrary, known=known)) == {}
    ours = pa.array(rng.choice(phones, 50_000))
    assert found(look(ours, known=known)) == {("c", "known_phone"): 50_000}


def test_columns_of_national_numbers():
    from stdnum.nl import bsn
    from stdnum.pl import pesel

    arbitrary = [str(each) for each in range(100_000_000, 100_003_000)]
    numbers = [each for each in arbitrary if bsn.is_valid(each)]
    assert 200 < len(numbers) < 400
    assert found(look(pa.array(arbitrary))) == {}
    assert found(look(pa.array([int(each) for each in arbitrary]))) == {}
    assert found(look(pa.array(numbers))) == {("c", "national_id"): len(numbers)}
    assert found(look(pa.array([int(each) for each in numbers]))) == {("c", "national_id"): len(numbers)}
    dated = [each for each in map(str, range(44051400000, 44051409999)) if pesel.is_valid(each)]
    assert found(look(pa.array(dated))) == {("c", "national_id"): len(dated)}
    assert found(look(pa.array([numbers[0]] * 100))) == {}  # one value that repeats may be chance


def test_canaries_are_never_allowed():
    canaries = fingerprints(
        sure=True, email=["heron.quill@canary.invalid"], key=["rfc-7k2q-9x4m-p8d3", "90210011"]
    )
    rule = ColumnRule("c", frozenset(tolerable_kinds(["email", "key"])) | {"email", "canary"})
    column = pa.array(["a", "Heron.Quill@CANARY.invalid", "x rfc7k2q9x4mp8d3", None])
    assert found(look(column, rule, canaries=canaries)) == {("c", "canary"): 2}
    assert found(look(pa.array([90210011]), rule, canaries=canaries)) == {("c", "canary"): 1}
    pseudonym = b"\x07" * 16
    given = pa.array([pseudonym, b"\x08" * 16], pa.binary(16))
    assert found(look(given, ColumnRule("c", opaque=True), pseudonyms=(pseudonym,))) == {("c", "canary"): 1}


def test_what_repeats_is_looked_at_once_and_changes_nothing():
    first = pa.record_batch({"c": ["a", "a", "b", "b", MAIL, MAIL]})
    again = inspector(plan())
    results = [again.batch(first) for _ in range(3)]
    assert all(each == results[0] for each in results)
    assert again.clean["c", ""].to_pylist() == ["a", "b"]


def test_plans_and_results_travel():
    known = fingerprints(phone=["+353 86 123 4567"], name=["Ada Lovelace"])
    one = plan(ColumnRule("c"), known=known)
    batch = pa.record_batch({"c": ["ada lovelace", "353861234567", "123456789012", MAIL]})
    result = inspect_batch(one, batch)
    assert inspect_batch(pickle.loads(pickle.dumps(one)), batch) == result
    assert InspectionResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert pickle.loads(pickle.dumps(result)) == result


def test_nothing_tells_a_value_or_the_key():
    known = fingerprints(phone=["+353 86 123 4567"], name=["Ada Lovelace"])
    one = plan(ColumnRule("c"), known=known)
    batch = pa.record_batch(
        {"c": ["ada lovelace", "353861234567", MAIL, "\udcff".encode("utf-8", "replace").decode()]}
    )
    result = inspect_batch(one, batch)
    told = repr(result) + json.dumps(result.to_json()) + repr(result.findings()) + repr(one)
    for marker in ("lovelace", "353861234567", "mark.er", KEY.hex(), repr(KEY)):
        assert marker not in told
