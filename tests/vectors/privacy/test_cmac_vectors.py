"""AES-CMAC: the test vectors of RFC 4493 section 4, and SP 800-38B examples beneath them."""

import numpy as np
import pytest

from ringfort.privacy.cmac import Cmac

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
VECTORS = [
    (0, "bb1d6929e95937287fa37d129b756746"),
    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (40, "dfa66747de9ae63030ca32611497c827"),
    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
]


@pytest.mark.parametrize(("size", "tag"), VECTORS)
def test_each_vector_alone(size, tag):
    data = np.frombuffer(MESSAGE[:size], np.uint8)
    assert Cmac(KEY).messages(data, np.array([0, size])).tobytes().hex() == tag


def test_all_vectors_in_one_column():
    data = np.frombuffer(b"".join(MESSAGE[:size] for size, _ in VECTORS), np.uint8)
    offsets = np.cumsum([0] + [size for size, _ in VECTORS])
    tags = Cmac(KEY).messages(data, offsets)
    assert [bytes(each).hex() for each in tags] == [tag for _, tag in VECTORS]


def test_the_single_block_way():
    block = np.frombuffer(MESSAGE[:16], np.uint8).reshape(1, 16)
    assert Cmac(KEY).blocks(block).tobytes().hex() == VECTORS[1][1]
