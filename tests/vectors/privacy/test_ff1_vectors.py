"""FF1: NIST's samples 1 to 9, by columns and one string at a time.

csrc.nist.gov, Cryptographic Standards and Guidelines, Examples with Intermediate Values, "FF1samples.pdf":
"Block Cipher Modes of Operation, FF1 Method for Format-Preserving Encryption", of SP 800-38G (2016).
"""

import numpy as np
import pytest

from ringfort.privacy.ff1 import FF1

KEY = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94"
DIGITS, LETTERS = "0123456789", "0123456789abcdefghi"
SAMPLES = [
    (128, 10, "", DIGITS, "2433477484"),
    (128, 10, "39383736353433323130", DIGITS, "6124200773"),
    (128, 36, "3737373770717273373737", LETTERS, "a9tv40mll9kdu509eum"),
    (192, 10, "", DIGITS, "2830668132"),
    (192, 10, "39383736353433323130", DIGITS, "2496655549"),
    (192, 36, "3737373770717273373737", LETTERS, "xbj3kv35jrawxv32ysr"),
    (256, 10, "", DIGITS, "6657667009"),
    (256, 10, "39383736353433323130", DIGITS, "1001623463"),
    (256, 36, "3737373770717273373737", LETTERS, "xs8a0azh2avyalyzuwd"),
]


def numerals(text):
    return np.array([[int(each, 36) for each in text]], np.uint8)


@pytest.mark.parametrize(("bits", "radix", "tweak", "plain", "cipher"), SAMPLES)
def test_samples(bits, radix, tweak, plain, cipher):
    ff1 = FF1(bytes.fromhex(KEY)[: bits // 8], radix)
    tweak = bytes.fromhex(tweak)
    assert (ff1.encipher(numerals(plain), tweak) == numerals(cipher)).all()
    assert (ff1.decipher(numerals(cipher), tweak) == numerals(plain)).all()
    slow = ff1._network(len(plain))
    assert slow.one(numerals(plain)[0].tolist(), tweak, inverse=False) == numerals(cipher)[0].tolist()
    assert slow.one(numerals(cipher)[0].tolist(), tweak, inverse=True) == numerals(plain)[0].tolist()
