"""Pseudonyms that keep the format: phone numbers, cards, IBANs, numbers of digits and letters, under FF1.

What stays, what changes, and the tweak:

    phone  stays: what is no digit, `+` or 00 with the country calling code, zeros before the number.
           changes: the number from its first digit that is not 0 on, extension included; its first digit
           stays other than 0 (cycle walking), so that it is read the same way again. Tweak, 8 bytes: `p`,
           the calling code as digits, zeros up to 4 bytes (a national number has none); the number of zeros
           before the number (behind the calling code); the number of digits of the extension; two zeros.
    card   stays: first six digits (IIN), number of digits, blanks and hyphens. changes: the digits between.
           The last digit is computed anew (Luhn). Tweak, 8 bytes: `c`, the IIN, a zero.
    iban   stays: country, blanks and hyphens, which places hold letters. changes: all of the BBAN. The check
           digits are computed anew. Tweak, 8 bytes: `i`; the country in capitals; a bit for each place of the
           BBAN, 1 for a letter, from the most significant bit of the first byte on, 4 bytes; the number of
           places.
    code   stays: blanks and signs, which places hold digits, capitals or small letters. changes: all digits
           and letters. No check digit is known, so none is right afterwards. Tweak: the pattern, which is the
           text with `0` for each digit, `A` for each capital and `a` for each small letter.

So the tweak and the length of what is enciphered, which FF1 knows, are the whole pattern of a value: two
patterns share no permutation, however many values they have. What is only another way of writing one number
is no other pattern: blanks and brackets of phones, `+` and 00, blanks of cards and IBANs, an IBAN in small
letters. In epochs of derivation 1 (`epoch_keys`) tweaks were `p` and the calling code, `c` and the IIN, `i`
and the country, `d`, each then zeros to 8 bytes; they stay so.

A check digit that was wrong stays wrong by as much, so that everything comes back as it was. Digits alone are
FF1 with radix 10, those with letters `privacy.mixed`. A value that is not of the format, or whose body has
less than a million possible values or is too long (`takes`; a code of more than 255 characters, 255 zeros
before a phone number), comes out as null: `112`, a short extension, a name in the wrong column. The raw value
never stays.

Invariants: `inverse` undoes it for every value that is not null, and the result is of the same format again.
Total: no text raises. Left out: which country a national number is of; formats of national identity numbers.
Sources: ITU-T E.164, ISO/IEC 7812-1 and 7812-2 (Luhn), ISO 13616 (IBAN), NIST SP 800-38G Revision 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np

from ringfort.privacy import arrow_values as buffers
from ringfort.privacy.format_rows import (
    CAPITAL,
    DIGIT,
    EXTENSION,
    PLUS,
    SMALL,
    TWEAK_BYTES,
    ZERO,
    Ciphers,
    Rows,
    by_value,
    encipher_characters,
    encipher_digits,
    table,
    takes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

Format = Literal["phone", "card", "iban", "code"]
CHUNK = 16_384
CHUNK_BYTES = 1 << 20

_PHONE = table(" -./()", DIGIT, **{"+": PLUS, "extEXT": EXTENSION})
_CARD = table(" -", DIGIT)
_IBAN = table(" -", DIGIT, CAPITAL, SMALL)
_CODE = table(" -./_:#+()", DIGIT, CAPITAL, SMALL)
_EXTENSION = re.compile(rb"[^a-z]*[0-9][^a-z]*(?:x|ext\.?) ?([0-9]{1,6})", re.IGNORECASE)
_PHONE_DIGITS = (7, 36)  # nine tenths of the strings begin with another digit than 0
_LONGEST_EXTENDED = 100  # characters of a phone number with an extension: the pattern goes back and forth
_CARD_DIGITS = (13, 19)
_IIN = 6
_IBAN_LENGTH = (15, 34)
_MOST_ZEROS = 255  # one byte of the tweak
_LONGEST_CODE = 255  # characters: its pattern is the tweak
# Digits of a country calling code by its first two (E.164). Fixed for good: pseudonyms depend on it, so a
# code that is assigned later is not taken up here.
_CALLING_CODE = np.full(100, 3)
_CALLING_CODE[10:20] = _CALLING_CODE[70:80] = 1
_TWO_DIGITS = (
    *(20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58),
    *(60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98),
)
_CALLING_CODE[list(_TWO_DIGITS)] = 2


def column(
    values: pa.Array | pa.ChunkedArray, form: Format, ciphers: Ciphers, *, inverse: bool = False
) -> pa.StringArray:
    """Pseudonyms of a column of text, or with `inverse` what they were made of; null where there is none."""

    def made(chunk: pa.Array) -> pa.StringArray:
        data, offsets = buffers.text(chunk)
        valid = buffers.valid_rows(chunk)
        good = np.ones(len(chunk), np.bool_) if valid is None else valid.copy()
        out = buffers.room(int(offsets[-1] - offsets[0]))
        ends = np.zeros(len(chunk) + 1, np.int64)
        for start, stop in buffers.spans(offsets, CHUNK, CHUNK_BYTES):
            part = data[int(offsets[start]) : int(offsets[stop])].copy()
            within = offsets[start : stop + 1].astype(np.int64) - int(offsets[start])
            rows = Rows(part, within, good[start:stop], _TABLES[form])
            _FORMATS[form](rows, ciphers, inverse)
            kept, sizes = rows.finished()
            first = int(ends[start])
            out[first : first + len(kept)] = kept
            np.cumsum(sizes, out=ends[start + 1 : stop + 1])
            ends[start + 1 : stop + 1] += first
        return buffers.text_array(out[: int(ends[-1])], ends, None if good.all() else good)

    return buffers.each_text(values, made)


def _phone(rows: Rows, ciphers: Ciphers, inverse: bool) -> None:  # noqa: FBT001 - one of four alike
    plus, extension = _plus_and_extension(rows)
    start, end = rows.starts[:-1], rows.starts[1:]
    nonzero = np.append(np.flatnonzero(rows.stream != ZERO), len(rows.stream))
    stream = np.append(rows.stream, np.full(2, ZERO, np.uint8)) & 0x0F

    def after_zeros(places: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.minimum(nonzero[np.searchsorted(nonzero, places)], end)
        return found

    code_at = after_zeros(start)
    zeros = code_at - start
    abroad = plus | (zeros == 2)
    code_size = np.where(abroad, _CALLING_CODE[stream[code_at] * np.uint8(10) + stream[code_at + 1]], 0)
    behind = np.where(abroad, np.minimum(code_at + code_size, end), start)
    body = after_zeros(behind)
    sizes = end - body
    if ciphers.whole_pattern:
        rows.good &= body - behind <= _MOST_ZEROS
    rows.good &= (sizes >= _PHONE_DIGITS[0]) & (sizes <= _PHONE_DIGITS[1]) & ~(plus & (zeros > 0))
    some = np.flatnonzero(rows.good)
    tweaks = np.zeros((len(some), TWEAK_BYTES), np.uint8)
    tweaks[:, 0] = ord("p")
    for place in range(3):
        digit = rows.stream[code_at[some] + place] if len(some) else tweaks[:, 0]
        tweaks[:, 1 + place] = np.where(place < code_size[some], digit, 0)
    if ciphers.whole_pattern:
        tweaks[:, 4] = (body - behind)[some]
        tweaks[:, 5] = extension[some]
    encipher_digits(
        rows, ciphers.decimal, body[some], sizes[some], tweaks, inverse=inverse, no_leading_zero=True
    )


def _plus_and_extension(rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which rows begin with `+`, and how many digits their extension has.

    Those with a `+` elsewhere, or with letters that are no extension, go.
    """
    plus = np.zeros(len(rows.good), np.bool_)
    extension = np.zeros(len(rows.good), np.uint8)
    if rows.classes is None:
        return plus, extension
    places = np.flatnonzero(rows.classes == PLUS)
    found = rows.rows_of(places)
    rows.good[found[rows.before[places] > rows.starts[found]]] = False
    rows.good[np.bincount(found, minlength=len(rows.good)) > 1] = False
    plus[found] = True
    for row in np.unique(rows.rows_of(np.flatnonzero(rows.classes == EXTENSION))).tolist():
        text = rows.data[int(rows.offsets[row]) : int(rows.offsets[row + 1])]
        written = _EXTENSION.fullmatch(text.tobytes()) if len(text) <= _LONGEST_EXTENDED else None
        if written is None:
            rows.good[row] = False
        else:
            extension[row] = len(written[1])
    return plus, extension


def _card(rows: Rows, ciphers: Ciphers, inverse: bool) -> None:  # noqa: FBT001 - one of four alike
    sizes = np.diff(rows.starts)
    rows.good &= (sizes >= _CARD_DIGITS[0]) & (sizes <= _CARD_DIGITS[1])
    some = np.flatnonzero(rows.good)
    work = ciphers.decimal.decipher if inverse else ciphers.decimal.encipher
    for size, part in by_value(sizes[some]):
        at = rows.starts[some[part]]
        card = rows.matrix(at, size) & np.uint8(0x0F)
        tweaks = _tweaks(b"c", card[:, :_IIN] | np.uint8(ZERO))
        wrong = (card[:, -1] + _luhn(card)) % 10  # 0 if the last digit is right
        card[:, _IIN:-1] = work(np.ascontiguousarray(card[:, _IIN:-1]), tweaks)
        card[:, -1] = (wrong + 100 - _luhn(card)) % 10
        rows.write(at, card | np.uint8(ZERO))


def _luhn(card: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The sum of all digits but the last, every second doubled beginning beside it, modulo 10."""
    total = np.zeros(len(card), np.uint8)  # 18 times 9 is less than 256
    for back in range(2, card.shape[1] + 1):
        digit = card[:, -back]
        if back % 2 == 0:
            digit = digit << np.uint8(1)
            digit -= np.where(digit > 9, np.uint8(9), np.uint8(0))
        total += digit
    return total % np.uint8(10)


def _iban(rows: Rows, ciphers: Ciphers, inverse: bool) -> None:  # noqa: FBT001 - one of four alike
    sizes = np.diff(rows.starts)
    letters = rows.stream > ord("9")
    capitals = _counted(rows, letters & (rows.stream < ord("a")))
    small = _counted(rows, rows.stream >= ord("a"))
    rows.good &= (sizes >= _IBAN_LENGTH[0]) & (sizes <= _IBAN_LENGTH[1]) & ((capitals == 0) | (small == 0))
    some = np.flatnonzero(rows.good)
    head = rows.matrix(rows.starts[some], 4) > ord("9") if len(some) else np.zeros((0, 4), np.bool_)
    rows.good[some[(head != np.array([True, True, False, False])).any(axis=1)]] = False
    some = np.flatnonzero(rows.good)
    many = capitals[some] + small[some] - 2
    for shape, part in by_value(sizes[some] * 64 + many):
        size, count = divmod(shape, 64)
        if not takes(size - 4 - count, count):
            rows.good[some[part]] = False
            continue
        at = rows.starts[some[part]]
        iban = rows.matrix(at, size)
        tweaks = _tweaks(b"i", iban[:, :2] & np.uint8(0xDF))
        if ciphers.whole_pattern:
            if count:
                places = np.packbits(iban[:, 4:] > ord("9"), axis=1)
                tweaks[:, 3 : 3 + places.shape[1]] = places
            tweaks[:, 7] = size - 4
        given = (iban[:, 2] & 0x0F).astype(np.int64) * 10 + (iban[:, 3] & 0x0F)
        wrong = given - _check_digits(iban)  # 0 if they are right
        body = np.ascontiguousarray(iban[:, 4:])
        iban[:, 4:] = encipher_characters(body, ciphers, tweaks, inverse=inverse)
        right = (_check_digits(iban) + wrong) % 100
        iban[:, 2] = right // 10 + ZERO
        iban[:, 3] = right % 10 + ZERO
        rows.write(at, iban)


def _check_digits(iban: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The right check digits of each IBAN: 98 less the BBAN, the country and 00 modulo 97 (ISO 7064)."""
    total = np.zeros(len(iban), np.int64)
    for count, place in enumerate((*range(4, iban.shape[1]), 0, 1)):
        if count % 8 == 7:  # 97 times 100**8 is less than 2**63
            total %= 97
        character = iban[:, place]
        letter = character > ord("9")
        value = np.where(letter, (character & 0xDF) - np.uint8(55), character & 0x0F)
        total *= np.where(letter, 100, 10)
        total += value
    return 98 - total % 97 * 100 % 97


def _code(rows: Rows, ciphers: Ciphers, inverse: bool) -> None:  # noqa: FBT001 - one of four alike
    sizes = np.diff(rows.starts)
    letters = np.zeros_like(sizes)
    if rows.classes is not None:
        letters = _counted(rows, rows.stream > ord("9"))
    rows.good &= sizes <= 128
    shapes = sizes * 256 + letters
    if ciphers.whole_pattern:
        lengths = np.diff(rows.offsets)
        rows.good &= lengths <= _LONGEST_CODE
        shapes = shapes * 256 + lengths
    some = np.flatnonzero(rows.good)
    for shape, part in by_value(shapes[some]):
        first = some[part[0]]
        size, count = int(sizes[first]), int(letters[first])
        if not takes(size - count, count):
            rows.good[some[part]] = False
            continue
        tweak: bytes | NDArray[np.uint8] = b"d".ljust(TWEAK_BYTES, b"\0")
        if ciphers.whole_pattern:
            tweak = rows.patterns(some[part], shape % 256)
        at = rows.starts[some[part]]
        if count:
            rows.write(at, encipher_characters(rows.matrix(at, size), ciphers, tweak, inverse=inverse))
        else:
            same = np.full(len(at), size)
            encipher_digits(rows, ciphers.decimal, at, same, tweak, inverse=inverse)


def _counted(rows: Rows, these: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of these characters of the stream each row has."""
    before = np.zeros(len(these) + 1, np.int64)
    np.cumsum(these, out=before[1:])
    return np.diff(before[rows.starts])


def _tweaks(letter: bytes, context: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tweak for each row: a letter for the format, what stays of the value, zeros."""
    tweaks = np.zeros((len(context), TWEAK_BYTES), np.uint8)
    tweaks[:, 0] = letter[0]
    tweaks[:, 1 : 1 + context.shape[1]] = context
    return tweaks


_TABLES: dict[Format, NDArray[np.uint8]] = {"phone": _PHONE, "card": _CARD, "iban": _IBAN, "code": _CODE}
_FORMATS: dict[Format, Callable[[Rows, Ciphers, bool], None]] = {
    "phone": _phone, "card": _card, "iban": _iban, "code": _code,
}  # fmt: skip

__all__ = ["Ciphers", "Format", "column"]
