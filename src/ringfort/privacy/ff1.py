"""FF1, format-preserving encryption (NIST SP 800-38G, AES-128/192/256): numpy in, numpy out, whole columns.

Rows are numeral strings of one length and radix, as a matrix of numerals or as the two numbers that the
Feistel network works on. A half below 2**60 (any radix; 2**64 if it is a power of two) takes one AES call a
round for all rows: up to 36 digits, 23 letters, 128 bits. What comes before the last block of the round
function's input depends on the tweak alone and is worked out once, so a tweak of any length costs the same;
it may be one for all rows or one for each. Longer strings go one by one.

Invariants: for a key, tweak, radix and length it is a permutation of the strings; a row's result depends on
nothing else. Domains of less than a million strings are refused (SP 800-38G Revision 1, section 5.1): they
can be searched. Left out: FF3 and FF3-1, withdrawn by Revision 1. A tweak is no secret and no nonce: it makes
the same body differ between contexts. Source: SP 800-38G section 5.1, algorithms 7 and 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ringfort.privacy import digits

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 16
ROUNDS = 10
MINIMUM_DOMAIN = 1_000_000
MAXIMUM_RADIX = 65_536
CHUNK = 16_384
KEY_SIZES = (16, 24, 32)
_FAST_BITS = 60  # sums stay below 2**64, and a step of reduction takes at least four bits


def fits(radix: int, length: int) -> bool:
    """Whether strings of this length are a domain that FF1 may encipher."""
    return length >= 2 and radix**length >= MINIMUM_DOMAIN


class FF1:
    """FF1 under one key and radix."""

    def __init__(self, key: bytes, radix: int = 10) -> None:
        if len(key) not in KEY_SIZES:
            raise ValueError("the key must be 16, 24 or 32 bytes")
        if not 2 <= radix <= MAXIMUM_RADIX:
            raise ValueError("the radix must be 2 to 65536")
        self.radix = radix
        self._ecb = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - chained by FF1 itself

    def encipher(
        self, numerals: NDArray[np.unsignedinteger], tweak: bytes | NDArray[np.uint8] = b""
    ) -> NDArray[np.unsignedinteger]:
        """Numeral strings, shape (rows, length), each numeral 0 to radix - 1, to the same shape and dtype.

        `tweak` is one for all rows, or shape (rows, bytes). Raises `ValueError` for a domain below a million.
        """
        return self._numerals(numerals, tweak, inverse=False)

    def decipher(
        self, numerals: NDArray[np.unsignedinteger], tweak: bytes | NDArray[np.uint8] = b""
    ) -> NDArray[np.unsignedinteger]:
        """The inverse of `encipher`."""
        return self._numerals(numerals, tweak, inverse=True)

    def halves(
        self,
        first: NDArray[np.uint64],
        second: NDArray[np.uint64],
        length: int,
        tweak: bytes | NDArray[np.uint8] = b"",
        *,
        inverse: bool = False,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Strings of `length` numerals as numbers: their first `length // 2` numerals, and the rest."""
        network = self._network(length)
        if not network.fast:
            raise ValueError("a half of the string does not fit 64 bits")
        out = np.empty_like(first), np.empty_like(second)
        for start in range(0, len(first), CHUNK):
            part = slice(start, start + CHUNK)
            given = tweak if isinstance(tweak, bytes) else tweak[part]
            out[0][part], out[1][part] = network.columns(first[part], second[part], given, inverse=inverse)
        return out

    def _network(self, length: int) -> _Network:
        if not fits(self.radix, length):
            raise ValueError("the strings are a domain of less than a million values")
        return _Network(self._ecb, self.radix, length)

    def _numerals(
        self, numerals: NDArray[np.unsignedinteger], tweak: bytes | NDArray[np.uint8], *, inverse: bool
    ) -> NDArray[np.unsignedinteger]:
        rows, length = numerals.shape
        network = self._network(length)
        out = np.empty_like(numerals, order="C")
        if not network.fast:
            for row in range(rows):
                given = tweak if isinstance(tweak, bytes) else tweak[row].tobytes()
                out[row] = network.one(numerals[row].tolist(), given, inverse=inverse)
            return out
        middle = network.first
        for start in range(0, rows, CHUNK):
            part = slice(start, start + CHUNK)
            first = digits.number(numerals[part], 0, middle, self.radix)
            second = digits.number(numerals[part], middle, length, self.radix)
            given = tweak if isinstance(tweak, bytes) else tweak[part]
            first, second = network.columns(first, second, given, inverse=inverse)
            digits.put(out[part], 0, middle, self.radix, first)
            digits.put(out[part], middle, length, self.radix, second)
        return out


class _Network:
    """The Feistel network for strings of one radix and length: `u`, `v`, `b` and `d` of the specification."""

    def __init__(self, ecb: Cipher[modes.ECB], radix: int, length: int) -> None:
        self._ecb = ecb
        self.radix, self.length = radix, length
        self.first = length // 2
        self.second = length - self.first
        bits = (radix**self.second - 1).bit_length()
        self.bytes = (bits + 7) // 8
        self.taken = 4 * ((self.bytes + 3) // 4) + 4
        self.power = radix & (radix - 1) == 0
        self.fast = bits <= (64 if self.power else _FAST_BITS)

    def _header(self, tweak_bytes: int) -> bytes:
        """`P` of the specification."""
        return (
            bytes([1, 2, 1])
            + self.radix.to_bytes(3, "big")
            + bytes([ROUNDS, self.first % 256])
            + self.length.to_bytes(4, "big")
            + tweak_bytes.to_bytes(4, "big")
        )

    def _prefix(self, tweak: bytes | NDArray[np.uint8]) -> NDArray[np.uint64]:
        """What the last block of `Q` is added to: shape (1 or rows, 2), with its own tweak bytes.

        `P` and the blocks of `Q` before the last hold neither round nor half, so they are chained here.
        """
        rows = np.frombuffer(tweak, np.uint8)[None, :] if isinstance(tweak, bytes) else tweak
        size = rows.shape[1]
        blocks = (size + self.bytes + 1 + BLOCK - 1) // BLOCK
        padded = np.zeros((len(rows), blocks, BLOCK // 8), np.uint64)
        padded.view(np.uint8).reshape(len(rows), -1)[:, :size] = rows
        encryptor = self._ecb.encryptor()
        state = np.frombuffer(encryptor.update(self._header(size)), np.uint64)[None, :]
        for position in range(blocks - 1):
            block = np.ascontiguousarray(padded[:, position] ^ state)
            state = np.frombuffer(encryptor.update(block.tobytes()), np.uint64).reshape(-1, 2)
        prefix: NDArray[np.uint64] = padded[:, -1] ^ state
        return prefix

    def columns(
        self,
        first: NDArray[np.uint64],
        second: NDArray[np.uint64],
        tweak: bytes | NDArray[np.uint8],
        *,
        inverse: bool,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Both halves of all rows, enciphered or deciphered."""
        prefix = self._prefix(tweak)
        rows = len(first)
        block = np.empty((rows, 2), np.uint64)
        block[:, 0] = prefix[:, 0]
        numbers = block[:, 1].view(">u8")
        marks = prefix[:, 1].view(">u8").astype(np.uint64)
        answer = np.empty((rows + 1, 2), np.uint64)  # `update_into` asks for a spare block
        spare = np.empty(rows, np.uint64)
        encryptor = self._ecb.encryptor()
        old, new = (second.copy(), first.copy()) if inverse else (first.copy(), second.copy())
        for step in range(ROUNDS):
            number = ROUNDS - 1 - step if inverse else step
            if self.bytes < 8:  # the round's number stands before the half, in the second word or the first
                mark = marks ^ np.uint64(number << 8 * self.bytes)
            else:
                mark = marks
                sign = np.uint64(int.from_bytes(bytes(7) + bytes([number]), "little"))
                np.bitwise_xor(prefix[:, 0], sign, out=block[:, 0])
            np.bitwise_xor(new, mark[0] if len(mark) == 1 else mark, out=spare)
            numbers[:] = spare  # copied with their bytes in the other order
            encryptor.update_into(block.data.cast("B"), answer.data.cast("B"))
            modulus = self.radix ** (self.second if number % 2 else self.first)
            found = self._reduced(answer[:rows].view(">u8"), modulus, spare)
            if inverse:
                np.subtract(old, found, out=found)
            else:
                np.add(old, found, out=found)
            if self.power:
                found &= np.uint64(modulus - 1)
            else:  # of the number and the number moved by the modulus, the one that did not wrap around
                shift = np.uint64(modulus if inverse else 2**64 - modulus)
                np.minimum(found, np.add(found, shift, out=spare), out=found)
            old, new = new, found
        return (new, old) if inverse else (old, new)

    def _reduced(
        self, answer: NDArray[np.uint64], modulus: int, spare: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """The first `d` bytes, 8 or 12, of each block as a number, modulo `modulus`; in a new array."""
        found = answer[:, 0].astype(np.uint64)
        if self.taken == 8:
            return found if self.power else _modulo(found, modulus, spare)
        rest = answer[:, 1].astype(np.uint64)
        if self.power:
            found <<= np.uint64(32)
            rest >>= np.uint64(32)
            found |= rest
            return found
        _modulo(found, modulus, spare)
        room, left = 64 - modulus.bit_length(), 32
        while left:
            bits = min(room, left)
            found <<= np.uint64(bits)
            found |= rest >> np.uint64(64 - bits)
            rest <<= np.uint64(bits)
            left -= bits
            _modulo(found, modulus, spare)
        return found

    def one(self, numerals: list[int], tweak: bytes, *, inverse: bool) -> list[int]:
        """One string, however long: the specification's algorithms 7 and 8, step by step."""
        old, new = (self._number(part) for part in (numerals[: self.first], numerals[self.first :]))
        if inverse:
            old, new = new, old
        padding = bytes((-len(tweak) - self.bytes - 1) % BLOCK)
        header = self._header(len(tweak))
        for step in range(ROUNDS):
            number = ROUNDS - 1 - step if inverse else step
            tail = tweak + padding + bytes([number]) + new.to_bytes(self.bytes, "big")
            found = int.from_bytes(self._function(header + tail), "big")
            modulus = self.radix ** (self.second if number % 2 else self.first)
            old, new = new, (old - found if inverse else old + found) % modulus
        if inverse:
            old, new = new, old
        return [*self._string(old, self.first), *self._string(new, self.second)]

    def _function(self, message: bytes) -> bytes:
        """`S` of the specification: a CBC-MAC, then as many blocks as `d` bytes take."""
        encryptor = self._ecb.encryptor()
        state = bytes(BLOCK)
        for start in range(0, len(message), BLOCK):
            state = encryptor.update(_xor(state, message[start : start + BLOCK]))
        out = state
        for counter in range(1, (self.taken + BLOCK - 1) // BLOCK):
            out += encryptor.update(_xor(state, counter.to_bytes(BLOCK, "big")))
        return out[: self.taken]

    def _number(self, numerals: list[int]) -> int:
        total = 0
        for each in numerals:
            total = total * self.radix + each
        return total

    def _string(self, number: int, length: int) -> list[int]:
        out = [0] * length
        for position in reversed(range(length)):
            number, out[position] = divmod(number, self.radix)
        return out


def _modulo(values: NDArray[np.uint64], modulus: int, spare: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`values %= modulus`: numpy divides by a scalar in vectors, and takes remainders one by one."""
    by = np.uint64(modulus)
    np.floor_divide(values, by, out=spare)
    np.multiply(spare, by, out=spare)
    return np.subtract(values, spare, out=values)


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(BLOCK, "big")


__all__ = ["CHUNK", "FF1", "KEY_SIZES", "MAXIMUM_RADIX", "MINIMUM_DOMAIN", "fits"]
