"""How a column is stored does not change its pseudonyms; and no value of any type raises."""

import datetime as dt
import tracemalloc
import uuid
from decimal import Decimal, localcontext

import numpy as np
import pyarrow as pa
import pytest

from ringfort.errors import UsageError
from ringfort.privacy.cmac import CHUNK
from ringfort.privacy.pseudonym import Pseudonymiser, number_message, pseudonym_type

KEY = bytes(range(16))
TEXTS = ["a", None, "", "Zo\u00eb", "Zoe\u0308", "x" * 40, "a", None, "\N{GRINNING FACE}" * 9, "b" * 5000]


def column(values):
    return Pseudonymiser(KEY, pseudonym_type(values.type)).column(values)


@pytest.mark.parametrize("arrow", [pa.large_string(), pa.string_view()])
def test_texts_of_every_layout(arrow):
    plain = column(pa.array(TEXTS))
    assert column(pa.array(TEXTS, arrow)).equals(plain)
    assert column(pa.array(TEXTS, arrow).slice(2, 5)).equals(plain.slice(2, 5))
    assert column(pa.chunked_array([pa.array(TEXTS[:3], arrow), pa.array(TEXTS[3:], arrow)])).equals(plain)


def test_a_dictionary_is_its_values():
    plain = pa.array(TEXTS)
    coded = plain.dictionary_encode()
    assert column(coded).equals(column(plain))
    assert column(coded.slice(3, 4)).equals(column(plain.slice(3, 4)))
    chunks = pa.chunked_array([coded, pa.array(["q", None, "a"]).dictionary_encode(), coded.slice(5)])
    assert column(chunks).equals(column(chunks.cast(pa.string())))
    small = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 2], pa.uint8()), pa.array(["x", None, "z"]))
    assert column(small).is_valid().to_pylist() == [False, True, False, True]
    assert column(small).drop_null().equals(column(pa.array(["x", "z"])))
    nothing = pa.DictionaryArray.from_arrays(pa.array([None, None], pa.int8()), pa.array([], pa.string()))
    assert column(nothing).to_pylist() == [None, None]


def test_each_value_of_a_dictionary_is_computed_once(monkeypatch):
    seen = []
    first = Pseudonymiser._piece

    def counted(self, values, room, valid):
        seen.append(len(values))
        return first(self, values, room, valid)

    monkeypatch.setattr(Pseudonymiser, "_piece", counted)
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 500, pa.int32()), pa.array(["x", "y"]))
    column(pa.chunked_array([coded, coded, coded]))
    assert seen == [2]


def test_runs_and_the_uuid_type_are_their_values():
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), pa.array(["x", None]))
    assert column(runs).equals(column(pa.array(["x", "x", None, None, None])))
    raw = [uuid.UUID(int=5).bytes, None, uuid.UUID(int=2**127).bytes]
    typed = pa.array(raw, pa.uuid())
    assert column(typed).equals(column(pa.array(raw, pa.binary(16))))
    assert column(pa.chunked_array([typed.slice(1), typed])).null_count == 2


@pytest.mark.parametrize(
    "arrow", [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
)
def test_whole_numbers_of_every_width(arrow):
    values = [0, 1, None, 127]
    assert column(pa.array(values, arrow)).equals(column(pa.array(values, pa.int64())))
    decimals = (pa.decimal32(5, 1), pa.decimal64(9, 2), pa.decimal128(30, 4), pa.decimal256(60, 0))
    for each in (*decimals, pa.decimal128(38, 25), pa.decimal128(3, 0), pa.float16()):
        exact = [None if one is None else Decimal(one) for one in values]
        stored = pa.array(values, pa.float16()) if each == pa.float16() else pa.array(exact, each)
        assert column(stored).equals(column(pa.array(values, arrow)))


def test_numbers_beyond_int8_are_exact_decimals():
    values = [2**63 - 1, 2**63, 2**64 - 1, None, 7]
    got = column(pa.array(values, pa.uint64()))
    assert got.equals(column(pa.array([v and Decimal(v) for v in values], pa.decimal128(30, 0))))
    assert len(set(got.to_pylist())) == 5


@pytest.mark.parametrize("arrow", [pa.decimal128(38, 10), pa.decimal256(76, 20), pa.decimal64(18, 18)])
def test_decimals_are_what_their_definition_says(arrow):
    texts = ["0", "-0.5", "0.125", "0.000000000000000001", "-0.9"] + ["5e18"] * (arrow.scale == 20)
    if arrow.scale == 10:
        texts = ["0", "-17850", "1.5", "-0.0000000001", "9223372036854775807", "9223372036854775808.5"]
    with localcontext(prec=90):
        values = [Decimal(each).quantize(Decimal(1).scaleb(-arrow.scale)) for each in texts]
    kernel = Pseudonymiser(KEY, "number")
    messages = [number_message(each) for each in values]
    offsets = np.cumsum([0, *map(len, messages)])
    expected = kernel._cmac.messages(np.frombuffer(b"".join(messages), np.uint8), offsets)
    got = column(pa.array([*values, None], arrow))
    assert got.to_pylist() == [bytes(each) for each in expected] + [None]


def test_times_of_every_unit():
    moment = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
    for zone in (None, "UTC", "Europe/Dublin"):
        seconds = pa.array([int(moment.timestamp()), None, -5], pa.timestamp("s", zone))
        for unit in ("ms", "us", "ns"):
            assert column(seconds.cast(pa.timestamp(unit, zone))).equals(column(seconds))
    days = pa.array([dt.date(2024, 2, 29), None, dt.date(1, 1, 1)])
    assert column(days.cast(pa.date64())).equals(column(days))


def test_no_time_raises():
    ends = [-(2**63), 2**63 - 1, 0, None]
    for unit in ("s", "ms", "us", "ns"):
        assert column(pa.array(ends, pa.int64()).cast(pa.timestamp(unit))).null_count == 1
    beyond = column(pa.array([2**62, 2**63 - 1], pa.timestamp("s")))
    assert beyond.equals(column(pa.array([2**63 - 1] * 2, pa.timestamp("us"))))
    late = column(pa.array([1_999, -1], pa.timestamp("ns")))
    assert late.equals(column(pa.array([1, -1], pa.timestamp("us"))))


@pytest.mark.parametrize("values", [pa.array(["secret", None, "x"]), pa.array([5, None, 7])])
def test_nothing_lies_under_a_null(values):
    other = column(values)
    assert other.buffers()[1].to_pybytes()[16:32] == bytes(16)


def test_several_pieces_with_nulls():
    values = pa.array([None if each % 7 == 3 else each for each in range(2 * CHUNK + 5)])
    got = column(values)
    assert got.null_count == values.null_count
    assert got.slice(CHUNK - 3, 9).equals(column(values.slice(CHUNK - 3, 9)))
    texts = values.cast(pa.string())
    assert column(texts).slice(CHUNK - 3, 9).equals(column(texts.slice(CHUNK - 3, 9)))


def test_memory_beyond_the_result_is_a_few_chunks():
    values = pa.array(np.arange(40 * CHUNK)).cast(pa.string())
    column(values.slice(0, 5))
    tracemalloc.start()
    try:
        got = column(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < got.nbytes + 150 * CHUNK


@pytest.mark.parametrize(
    "arrow", [pa.bool_(), pa.binary(), pa.binary(15), pa.time64("us"), pa.list_(pa.int8())]
)
def test_types_without_pseudonyms(arrow):
    with pytest.raises(UsageError):
        column(pa.nulls(1, arrow))
