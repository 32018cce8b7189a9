"""Pseudonymisation domains, keys and columns."""

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringfort.errors import UsageError
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret, derive_key, key_id
from ringfort.privacy.pseudonym import (
    Domain,
    Pseudonymiser,
    encode_fields,
    pseudonym_type,
)

SECRET = EpochSecret(bytes(range(32)), NEWEST)
DOMAIN = Domain("ACME Ltd", "analytics", 3)


def pseudonymise(array, domain=DOMAIN, space="shop.customers.id"):
    kind = pseudonym_type(array.type)
    return Pseudonymiser(derive_key(SECRET, domain, space, kind), kind).column(array)


def by_hand(message, kind, domain=DOMAIN, space="shop.customers.id"):
    """The definition, written out with other means than the implementation's."""
    fields = [domain.recipient, domain.purpose, str(domain.epoch), space, "cmac", kind]
    info = b"ringfort-pseudonym/2" + b"".join(
        len(each.encode()).to_bytes(2, "big") + each.encode() for each in fields
    )
    one = CMAC(algorithms.AES(HKDF(SHA256(), 16, None, info).derive(SECRET.value)))
    one.update(message)
    return one.finalize()


def test_each_type_is_what_its_definition_says():
    u = uuid.UUID("12345678-1234-5678-9abc-def012345678")
    cases = [
        (pa.array([17850]), b"rf-int8\0" + (17850).to_bytes(8, "big"), "number"),
        (pa.array([-1], pa.int16()), b"rf-int8\0" + b"\xff" * 8, "number"),
        (pa.array([17850.0]), b"rf-int8\0" + (17850).to_bytes(8, "big"), "number"),
        (pa.array([1.5]), b"rf-flt8\0" + bytes.fromhex("3ff8000000000000"), "number"),
        (pa.array([Decimal("17850.00")]), b"rf-int8\0" + (17850).to_bytes(8, "big"), "number"),
        (pa.array([Decimal("1.50")]), b"rf-num\0\0" + b"1.5", "number"),
        (pa.array(["Zo\u00eb"]), "Zo\u00eb".encode(), "text"),
        (pa.array(["Zoe\u0308"]), "Zo\u00eb".encode(), "text"),
        (pa.array([""]), b"", "text"),
        (pa.array([u.bytes], pa.binary(16)), u.bytes, "uuid"),
        (pa.array([dt.date(1970, 1, 3)]), b"rf-date\0" + (2).to_bytes(8, "big"), "date"),
        (pa.array([5], pa.timestamp("us")), b"rf-time\0" + (5).to_bytes(8, "big"), "timestamp"),
        (pa.array([5], pa.timestamp("ms", "UTC")), b"rf-inst\0" + (5000).to_bytes(8, "big"), "instant"),
    ]
    for array, message, kind in cases:
        assert pseudonymise(array).to_pylist() == [by_hand(message, kind)], (array, kind)


def test_null_stays_null_in_slices_and_chunks():
    whole = pa.array([None, "a", "b", None, "c" * 40, "", "d"])
    expected = [None if each is None else by_hand(each.encode(), "text") for each in whole.to_pylist()]
    assert pseudonymise(whole).to_pylist() == expected
    assert pseudonymise(whole.slice(2, 4)).to_pylist() == expected[2:6]
    assert pseudonymise(pa.chunked_array([whole, whole.slice(3)])).to_pylist() == expected + expected[3:]
    numbers = pa.array([None, 7, None, 9, 2**63 - 1])
    got = pseudonymise(numbers.slice(1)).to_pylist()
    assert got[1] is None
    assert got[0] == pseudonymise(pa.array([7])).to_pylist()[0]
    assert got[3] == pseudonymise(pa.array([2**63 - 1])).to_pylist()[0]
    assert pseudonymise(pa.array([], pa.string())).to_pylist() == []
    assert pseudonymise(pa.array([None, None], pa.binary(16))).to_pylist() == [None, None]


def test_one_space_has_one_pseudonym_for_a_number_however_stored():
    forms = [
        pa.array([17850], pa.int32()),
        pa.array([17850], pa.uint16()),
        pa.array([17850.0], pa.float32()),
        pa.array([17850.0]),
        pa.array([Decimal(17850)]),
    ]
    assert len({pseudonymise(each).to_pylist()[0] for each in forms}) == 1


def test_odd_floats_are_distinct_and_defined():
    values = [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 2.0**63, -(2.0**63), 1e300, 0.1, 5e-324]
    got = pseudonymise(pa.array(values)).to_pylist()
    assert got[0] == got[1]
    assert len(set(got)) == len(values) - 1
    other_nan = np.frombuffer(bytes.fromhex("010000000000f8ff"), np.float64)
    assert pseudonymise(pa.array(other_nan)).to_pylist() == [got[2]]


def test_nothing_links_domains_spaces_epochs_or_types():
    value = pa.array(["x"])
    got = {
        pseudonymise(value).to_pylist()[0],
        pseudonymise(value, Domain("ACME Ltd", "analytics", 4)).to_pylist()[0],
        pseudonymise(value, Domain("ACME Ltd", "support", 3)).to_pylist()[0],
        pseudonymise(value, Domain("ACME", "Ltdanalytics", 3)).to_pylist()[0],
        pseudonymise(value, space="shop.orders.id").to_pylist()[0],
    }
    assert len(got) == 5
    assert derive_key(SECRET, DOMAIN, "s", "text") != derive_key(SECRET, DOMAIN, "s", "number")


def test_field_encoding_is_unambiguous():
    assert encode_fields("ab", "c") != encode_fields("a", "bc") != encode_fields("abc", "")
    assert encode_fields("e\u0301") == encode_fields("\u00e9")


def test_ids_reveal_nothing_and_depend_on_the_root():
    assert key_id(SECRET, DOMAIN) != key_id(EpochSecret(bytes(32), NEWEST), DOMAIN)
    assert key_id(SECRET, DOMAIN) != derive_key(SECRET, DOMAIN, "", "text").hex()
    assert len(DOMAIN.id) == len(key_id(SECRET, DOMAIN)) == 32
    assert "ACME" not in DOMAIN.id


def test_whole_numbers_come_back_inside_the_enclave():
    key = derive_key(SECRET, DOMAIN, "s", "number")
    kernel = Pseudonymiser(key, "number")
    got = kernel.column(pa.array([1, None, -5, 2**63 - 1, -(2**63)]))
    assert kernel.resolve_numbers(got).to_pylist() == [1, None, -5, 2**63 - 1, -(2**63)]
    other = Pseudonymiser(derive_key(SECRET, DOMAIN, "t", "number"), "number")
    assert other.resolve_numbers(got).null_count == 5


def test_a_type_without_pseudonyms_or_of_another_key_is_refused():
    with pytest.raises(UsageError):
        pseudonym_type(pa.bool_())
    with pytest.raises(UsageError):
        Pseudonymiser(bytes(16), "text").column(pa.array([1]))
    with pytest.raises(UsageError, match="32 bytes"):
        EpochSecret(b"short", NEWEST)
    for unknown in (0, NEWEST + 1):
        with pytest.raises(UsageError, match=f"derivation {unknown} of"):
            EpochSecret(bytes(32), unknown)
