"""Pseudonyms that keep the format, against the definition written out value by value over libffx."""

import re

import ffx
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban
from stdnum import luhn

from ringfort.privacy.formats import CHUNK, Ciphers, column

KEY = bytes(range(32))
FIRST, CIPHERS = Ciphers.of(KEY, 1), Ciphers.of(KEY, 2)
TWO_DIGITS = re.compile("20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]")
FORMATS = ["phone", "card", "iban", "code"]
DECIMAL, BINARY = ffx.FF1(KEY, radix=10), ffx.FF1(KEY)


def tweak(text):
    return text.encode().ljust(8, b"\0")


def put_back(text, characters):
    """`text` with its digits and letters replaced by these, one after the other."""
    left = iter(characters)
    return "".join(next(left) if each.isalnum() else each for each in text)


def body_of(characters, mark):
    """A body of digits and letters, enciphered; None if there are too few or too many of them."""
    letters = [each.isalpha() for each in characters]
    if not any(letters):
        if not 6 <= len(characters) <= 36:
            return None
        return DECIMAL.encrypt(characters, tweak=mark)
    size = 10 ** letters.count(False) * 26 ** letters.count(True)
    if not 10**6 <= size <= 2**128:
        return None
    number = 0
    for each, letter in zip(characters, letters, strict=True):
        number = number * 26 + ord(each.upper()) - 65 if letter else number * 10 + int(each)
    number = BINARY.encrypt_int(number, domain=size, tweak=mark)
    out = []
    for each, letter in zip(reversed(characters), reversed(letters), strict=True):
        number, value = divmod(number, 26 if letter else 10)
        made = chr(65 + value) if letter else str(value)
        out.append(made.lower() if each.islower() else made)
    return "".join(reversed(out))


def pattern(text):
    return re.sub("[0-9]", "0", re.sub("[a-z]", "a", re.sub("[A-Z]", "A", text)))


def code(text, derivation):
    if not re.fullmatch(r"[0-9A-Za-z ./_:#+()-]*", text):
        return None
    if derivation > 1 and len(text) > 255:
        return None
    mark = tweak("d") if derivation == 1 else pattern(text).encode()
    found = body_of(re.sub(r"[^0-9A-Za-z]", "", text), mark)
    return found and put_back(text, found)


def card(text, derivation):  # both derivations have one tweak
    digits = re.sub("[ -]", "", text)
    if not re.fullmatch("[0-9]{13,19}", digits):
        return None
    made = digits[:6] + DECIMAL.encrypt(digits[6:-1], tweak=tweak("c" + digits[:6]))
    wrong = int(digits[-1]) - int(luhn.calc_check_digit(digits[:-1]))
    return put_back(text, made + str((int(luhn.calc_check_digit(made)) + wrong) % 10))


def iban(text, derivation):
    whole = re.sub("[ -]", "", text)
    if not re.fullmatch("[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}|[a-z]{2}[0-9]{2}[a-z0-9]{11,30}", whole):
        return None
    mark = tweak("i" + whole[:2].upper())
    if derivation > 1:
        letters = int("".join("1" if each.isalpha() else "0" for each in whole[4:]), 2)
        letters <<= 32 - len(whole[4:])
        mark = mark[:3] + letters.to_bytes(4, "big") + bytes([len(whole) - 4])
    found = body_of(whole[4:], mark)
    if found is None:
        return None
    wrong = int(whole[2:4]) - int(stdnum_iban.calc_check_digits(whole.upper()))
    right = int(stdnum_iban.calc_check_digits((whole[:4] + found).upper()))
    return put_back(text, f"{whole[:2]}{(right + wrong) % 100:02}{found}")


def phone(text, derivation):
    if not re.fullmatch(r"[ ./()-]*\+?[0-9 ./()-]*((x|ext\.?) ?[0-9]{1,6})?", text, re.IGNORECASE):
        return None
    digits = re.sub("[^0-9]", "", text)
    if re.search("[a-z]", text, re.IGNORECASE) and not re.search("[0-9].*[a-z]", text, re.IGNORECASE):
        return None
    if re.search("[a-z]", text, re.IGNORECASE) and len(text) > 100:
        return None
    zeros = len(digits) - len(digits.lstrip("0"))
    if "+" in text and zeros:
        return None
    known, place = "", zeros
    if "+" in text or zeros == 2:
        start = digits[zeros : zeros + 2]
        known = digits[zeros:][: 1 if start[:1] in {"1", "7"} else 2 if TWO_DIGITS.match(start) else 3]
        place += len(known)
    else:
        place = 0
    before = len(digits[place:]) - len(digits[place:].lstrip("0"))
    place += before
    body = digits[place:]
    mark = tweak("p" + known)
    if derivation > 1:
        if before > 255:
            return None
        extension = re.search("[a-z][^a-z0-9]*([0-9]*)$", text, re.IGNORECASE)
        mark = mark[:4] + bytes([before, len(extension[1]) if extension else 0, 0, 0])
    if not 7 <= len(body) <= 36:
        return None
    while True:
        body = DECIMAL.encrypt(body, tweak=mark)
        if body[0] != "0":
            break
    left = iter(digits[:place] + body)
    return re.sub("[0-9]", lambda _: next(left), text)


REFERENCE = {"phone": phone, "card": card, "iban": iban, "code": code}
DIRTY = st.text(max_size=30) | st.text("0123456789 -+()./xXetAZaz", max_size=30) | st.none()
WRITTEN = {
    "phone": st.from_regex(
        r"(\+|00|0|\(0)?[1-9][0-9]{0,2}[ ()./-]{0,2}0?[0-9]{4,12}( ?(x|ext\.?) ?[0-9]{1,6})?", fullmatch=True
    ),
    "card": st.from_regex(r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,11}", fullmatch=True),
    "iban": st.from_regex(
        r"([A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{5,26})|[a-z]{2}[0-9]{13,20}", fullmatch=True
    ),
    "code": st.from_regex(r"[0-9A-Za-z-]{4,26}|[0-9]{6,40}", fullmatch=True),
}


@st.composite
def columns(draw):
    form = draw(st.sampled_from(FORMATS))
    return form, draw(st.lists(WRITTEN[form] | DIRTY, max_size=12))


@given(columns())
@settings(max_examples=150)
@example(
    ("phone", ["+353 85 123 4567", "00", "112", "+0 1234567", "12+3456789", "Tex 0851234567", "1234567 x"])
)
@example(
    ("phone", ["212.555.0100 ext. 12", "+1-212-555-0100x1234", "+44 (0)20 7946 0958", "0" * 20, "\u0661" * 9])
)
@example(("iban", ["MT84MALT011000012345MTLCAST001S", "XX" + "A" * 28, "DE00370400440532013000", "IE29 x"]))
@example(("iban", ["LC55HEMM000100010012001200023015", "GB99NWBK60161331926819", "gb29NWBK60161331926819"]))
@example(("code", ["A" * 27, "1" * 37, "RSSMRA85T10A562S", "1" * 36, "9" * 200, "z" * 200]))
@example(("code", ["-" * 248 + "1234567", "-" * 249 + "1234567", "AB-1234", "ab-1234", "A1-234B", "1234AB"]))
@example(
    ("phone", ["0" * 255 + "1234567", "0" * 256 + "1234567", "00390612345678", "+3961234567", "0061234567"])
)
def test_every_value_is_what_the_definition_says(written):
    form, texts = written
    for ciphers in (FIRST, CIPHERS):
        got = column(pa.array(texts, pa.string()), form, ciphers)
        expected = [None if each is None else REFERENCE[form](each, ciphers.derivation) for each in texts]
        assert got.to_pylist() == expected
        real = [None if made is None else each for each, made in zip(texts, expected, strict=True)]
        assert column(got, form, ciphers, inverse=True).to_pylist() == real


@given(columns(), st.data())
@settings(max_examples=60)
def test_storage_does_not_matter(written, data):
    form, texts = written
    plain = pa.array(texts, pa.string())
    expected = column(plain, form, CIPHERS)
    cut = data.draw(st.integers(0, len(texts)))
    assert column(plain.slice(cut), form, CIPHERS).equals(expected.slice(cut))
    assert column(pa.chunked_array([plain[:cut], plain[cut:]]), form, CIPHERS).equals(expected)
    assert column(plain.dictionary_encode(), form, CIPHERS).equals(expected)
    assert column(plain.cast(pa.large_string()), form, CIPHERS).equals(expected)
    assert column(plain.cast(pa.string_view()), form, CIPHERS).equals(expected)


@pytest.mark.parametrize("form", FORMATS)
def test_no_byte_of_what_is_refused_is_left(form):
    refused = ["secret-\u00e9", "sec\u00e9ret", "\u00e9", "x\0\u00e9"]
    got = column(pa.array(refused), form, CIPHERS)
    assert got.null_count == len(refused)
    assert got.buffers()[2].size == 0
    dirty = pa.array([b"\xff0851234567", b"\x80", b"0851234567"], pa.binary()).view(pa.string())
    assert column(dirty, form, CIPHERS).is_valid().to_pylist()[:2] == [False, False]


def test_one_number_in_two_writings_has_the_same_digits():
    got = column(pa.array(["+353 85 123 4567", "00353851234567", "+353851234567"]), "phone", CIPHERS)
    assert len({re.sub(r"^(\+|00)|\D", "", each) for each in got.to_pylist()}) == 1


def test_check_digits_are_right_where_they_were():
    cards = column(pa.array(["4111111111111111", "378282246310005", "4111111111111112"]), "card", CIPHERS)
    assert [luhn.is_valid(each) for each in cards.to_pylist()] == [True, True, False]
    ibans = column(pa.array(["IE29AIBK93115212345678", "IE30AIBK93115212345678"]), "iban", CIPHERS)
    assert [stdnum_iban.is_valid(each) for each in ibans.to_pylist()] == [True, False]


def test_several_chunks():
    texts = [f"+353 85 {each:07}" if each % 5 else "n/a" for each in range(2 * CHUNK + 3)]
    values = pa.array(texts)
    got = column(values, "phone", CIPHERS)
    assert got.null_count == sum(each == "n/a" for each in texts)
    assert len(set(got.drop_null().to_pylist())) == len(values) - got.null_count
    assert column(got, "phone", CIPHERS, inverse=True).drop_null().to_pylist() == [
        each for each in texts if each != "n/a"
    ]
    assert column(values.slice(CHUNK - 2, 5), "phone", CIPHERS).equals(got.slice(CHUNK - 2, 5))
    assert column(pa.array(["1" * 3_000_000, "1234567"]), "phone", CIPHERS).null_count == 1
