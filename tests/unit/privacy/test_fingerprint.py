"""Fingerprints: what is taken in, what is left out, and that only the key opens them."""

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.privacy.inspected import KEY, fingerprints

from ringfort.errors import CheckFailedError, UsageError
from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint import DIGITS, FingerprintBuilder, Fingerprints, derived_key
from ringfort.privacy.fingerprint_match import Matcher


def kinds(prints, *texts):
    """For each text the kinds that match."""
    found = [set() for _ in texts]
    for each in Matcher(prints).texts(pa.array(texts)):
        for row, kind in zip(each.rows, each.kinds, strict=True):
            if kind >= 0:
                found[row].add(prints.names[kind])
    return found


def test_a_fingerprint_is_a_cmac_of_the_plain_form():
    """Every usual writing of it: here the two words, the three that a hyphen makes, and their selections."""
    prints = fingerprints(name=["Łucja  O'Neill-Müller"])
    cmac = Cmac(derived_key(KEY, "words"))
    tags = set()
    for each in (
        "lucjaoneillmuller", "oneillmullerlucja", "mullerlucjaoneill", "lucjaoneill", "oneilllucja",
        "lucjamuller", "mullerlucja", "oneillmuller", "mulleroneill",
    ):  # fmt: skip
        message = each.encode()
        tag = cmac.messages(np.frombuffer(message, np.uint8), np.array([0, len(message)]))
        tags.add(tuple(tag.view(np.uint64)[0].tolist()))
    assert set(zip(prints.high.tolist(), prints.low.tolist(), strict=True)) == tags


def test_what_is_too_short_or_common_is_left_out():
    builder = FingerprintBuilder(KEY)
    builder.add("name", pa.array(["May", "Bo Li", "Anna Berg", *["Not Known"] * 30, None]))
    builder.add("phone", pa.array(["12345", "not given"]))
    builder.add("key", pa.array([12345678, 99999999]))
    builder.add("ip_address", pa.array(["86.41.12.200"]))
    built = builder.finish()
    assert built.left_out == {"too short": 6, "placeholders": 60}  # in two orders
    assert kinds(built.fingerprints, "may", "bo li", "anna berg", "not known") == [
        set(),
        set(),
        {"known_name"},
        set(),
    ]


def test_a_name_within_a_word_is_no_match():
    prints = fingerprints(name=["Rose Mary", "Art Ist"])
    assert kinds(prints, "rosemary", "rose-mary", "artist", "smart ist") == [
        set(),
        {"known_name"},
        set(),
        set(),
    ]


def test_names_in_parts():
    builder = FingerprintBuilder(KEY)
    builder.add_parts("name", [pa.array(["Ada", "Grace", None]), pa.array(["Lovelace", "Hopper", "Nobody"])])
    prints = builder.finish().fingerprints
    assert kinds(prints, "ada lovelace", "HOPPER, Grace", "ada hopper", "nobody") == [
        {"known_name"}, {"known_name"}, set(), set(),
    ]  # fmt: skip


@pytest.mark.parametrize("missing", [None, "", "  "])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_rows_in_which_no_part_of_a_name_stands_are_passed_over(missing, parts):
    """An organisation among people: its row has no name at all, before and after those that have one."""
    words = ["Quenby", "van", "der", "Quillfeather"]
    columns = [pa.array([missing, words[at], missing, None]) for at in [*range(parts - 1), 3]]
    builder = FingerprintBuilder(KEY)
    builder.add_rows([("name", each) for each in columns])
    full = " ".join([*words[: parts - 1], words[3]])
    assert kinds(builder.finish().fingerprints, full, "Quillfeather") == [{"known_name"}, set()]
    nobody = FingerprintBuilder(KEY)
    nobody.add_rows([("name", pa.array([missing, None])) for _ in range(parts)])
    assert kinds(nobody.finish().fingerprints, full) == [set()]


@pytest.mark.parametrize(
    "text",
    [
        "+353861234567",
        "00353 86 1234567",
        "353.86.123.4567",
        "086-1234567",
        "(086) 123 4567",
        "+353 (0)86 123 45 67",
    ],
)
def test_ways_to_write_a_phone_number(text):
    prints = fingerprints(phone=["+353 86 123 4567"])
    assert kinds(prints, f"call {text}.") == [{"known_phone"}]


def test_uuids_and_codes():
    uuid = pa.array([bytes(range(0xA0, 0xB0))], pa.binary(16))
    builder = FingerprintBuilder(KEY)
    builder.add("key", uuid)
    builder.add("national_id", pa.array(["AB-1234-C", "6433435F"]))
    prints = builder.finish().fingerprints
    text = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
    assert kinds(prints, f"id={text}", text.replace("-", "").upper()) == [{"known_key"}] * 2
    assert kinds(prints, "AB1234C", "ab 1234 c!", "6433435f") == [{"known_national_id"}] * 3


def test_chance_is_ten_times_too_careful():
    prints = fingerprints(card=["4111111111111111", "5555555555554444"])
    assert prints.one_in(DIGITS, 16) == 10**16 // 20
    assert prints.one_in(DIGITS, 15) == 0


def test_only_the_key_opens_a_file():
    prints = fingerprints(name=["Ada Lovelace", "Grace Hopper"], phone=["+353 86 123 4567"])
    data = prints.to_bytes()
    again = Fingerprints.from_bytes(data, KEY)
    assert kinds(again, "grace hopper", "0861234567") == [{"known_name"}, {"known_phone"}]
    assert again.to_bytes() == data
    for other in (data[:-1] + bytes([data[-1] ^ 1]), data[:40] + b"\0" + data[41:], data[:10], b""):
        with pytest.raises(CheckFailedError):
            Fingerprints.from_bytes(other, KEY)
    with pytest.raises(CheckFailedError):
        Fingerprints.from_bytes(data, bytes(32))
    with pytest.raises(UsageError):
        FingerprintBuilder(b"short")
    other = Fingerprints.from_bytes(FingerprintBuilder(KEY).finish().fingerprints.to_bytes(), KEY)
    assert kinds(other, "grace hopper") == [set()]
    assert b"lovelace" not in data.lower()


def test_a_shared_prefix_is_decided_by_the_whole_tag():
    prints = fingerprints(name=["Ada Lovelace", "Grace Hopper"])
    matcher = Matcher(prints)
    high = np.array([prints.high[0]] * 3, np.uint64)
    low = np.array([prints.low[0], prints.low[0] ^ np.uint64(1), 0], np.uint64)
    assert (matcher._found(high, low) >= 0).tolist() == [True, False, False]


def test_the_order_of_batches_makes_no_difference():
    names = [f"Person{chr(97 + each % 26)} Family{chr(97 + each // 26)}" for each in range(500)]
    one, two = FingerprintBuilder(KEY), FingerprintBuilder(KEY)
    one.add("name", pa.array(names))
    for start in range(400, -1, -100):
        two.add("name", pa.chunked_array([names[start : start + 100]]))
    assert one.finish().fingerprints.to_bytes() == two.finish().fingerprints.to_bytes()
