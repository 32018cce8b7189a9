"""A column of pseudonyms is its values' pseudonyms, one by one, however the column is stored."""

import datetime as dt
import unicodedata
from decimal import Decimal

import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.privacy.pseudonym import Pseudonymiser, number_message, pseudonym_type

KEY = bytes(range(16))
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def count(label):
    return lambda value: label + value.to_bytes(8, "big", signed=True)


def nfc(value):
    return unicodedata.normalize("NFC", value).encode()


INT8 = st.integers(-(2**63), 2**63 - 1)
SORTS = [
    (pa.string(), st.text(max_size=70), nfc),
    (pa.large_string(), st.text(max_size=40), nfc),
    (pa.string_view(), st.text(max_size=40), nfc),
    (pa.int64(), INT8, count(b"rf-int8\0")),
    (pa.int16(), st.integers(-(2**15), 2**15 - 1), count(b"rf-int8\0")),
    (pa.uint64(), st.integers(0, 2**64 - 1), lambda value: number_message(Decimal(value))),
    (pa.decimal128(30, 3), st.decimals(-(10**20), 10**20, places=3), number_message),
    (pa.decimal256(50, 0), st.decimals(-(10**40), 10**40, places=0), number_message),
    (pa.date32(), st.dates(), lambda value: count(b"rf-date\0")((value - EPOCH.date()).days)),
    (pa.timestamp("us"), INT8, count(b"rf-time\0")),
    (pa.timestamp("us", "UTC"), INT8, count(b"rf-inst\0")),
    (pa.binary(16), st.binary(min_size=16, max_size=16), bytes),
]


def one_by_one(value, message):
    if value is None:
        return None
    one = CMAC(algorithms.AES(KEY))
    one.update(message(value))
    return one.finalize()


@st.composite
def columns(draw):
    arrow, values, message = draw(st.sampled_from(SORTS))
    given_values = draw(st.lists(st.none() | values, max_size=12))
    if pa.types.is_timestamp(arrow):
        array = pa.array(given_values, pa.int64()).cast(arrow)
    else:
        array = pa.array(given_values, arrow)
    return array, [one_by_one(each, message) for each in given_values]


@given(columns(), st.data())
@settings(max_examples=120)
def test_each_value_is_its_mac_in_every_storage(column, data):
    array, expected = column
    kernel = Pseudonymiser(KEY, pseudonym_type(array.type))
    made = kernel.column(array)
    assert made.to_pylist() == expected
    made.validate(full=True)
    start = data.draw(st.integers(0, len(array)))
    length = data.draw(st.integers(0, len(array) - start))
    assert kernel.column(array.slice(start, length)).to_pylist() == expected[start : start + length]
    chunks = pa.chunked_array([array.slice(start), array.slice(0, start), array.slice(0, 0)])
    assert kernel.column(chunks).to_pylist() == expected[start:] + expected[:start]
    order = [data.draw(st.none() | st.integers(0, len(array) - 1)) for _ in range(4)] if expected else []
    coded = pa.DictionaryArray.from_arrays(pa.array(order, pa.int8()), array)
    picked = [None if each is None else expected[each] for each in order]
    assert kernel.column(coded).to_pylist() == picked
    if start < len(array):
        other = pa.DictionaryArray.from_arrays(pa.array([0] * 9, pa.int8()), array.slice(start, 1))
        assert kernel.column(pa.chunked_array([coded, other])).to_pylist() == picked + [expected[start]] * 9
    runs = pa.RunEndEncodedArray.from_arrays(pa.array(range(2, 2 * len(array) + 2, 2), pa.int32()), array)
    twice = [each for each in expected for _ in range(2)]
    assert kernel.column(runs).to_pylist() == twice
    assert kernel.column(runs.slice(start)).to_pylist() == twice[start:]


@given(st.lists(st.none() | st.binary(max_size=40), max_size=10))
def test_what_is_no_text_does_not_raise(values):
    dirty = pa.array(values, pa.binary()).view(pa.string())
    made = Pseudonymiser(KEY, "text").column(dirty).to_pylist()

    def message(value):
        try:
            return nfc(value.decode())
        except UnicodeDecodeError:
            return value

    assert made == [one_by_one(each, message) for each in values]
