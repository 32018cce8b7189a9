"""Public keys that nobody can hold are refused; those that are made are not."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ringfort.ledger.errors import NoteError
from ringfort.ledger.note import ED25519, ED25519_COSIGNATURE, VerifierKey
from ringfort.public_keys import ed25519_fault, x25519_fault

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
TOP = 1 << 255

# every spelling of a point of small order, as in libsodium's x25519_ref10.c (`has_small_order`) and
# https://cr.yp.to/ecdh.html#validate, the top bit cleared and set
SMALL_X25519 = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def with_top_bit(key):
    return key[:31] + bytes([key[31] | 0x80])


@pytest.mark.parametrize("spelled", SMALL_X25519)
def test_a_point_of_small_order_makes_no_secret_and_is_refused(spelled):
    for key in (bytes.fromhex(spelled), with_top_bit(bytes.fromhex(spelled))):
        with pytest.raises(ValueError):
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
        assert "small order" in x25519_fault(key)


@pytest.mark.parametrize("over", range(19))
def test_a_coordinate_of_the_field_has_one_spelling(over):
    key = (P + over).to_bytes(32, "little")
    assert x25519_fault(key)
    assert x25519_fault(with_top_bit(key))


def test_another_spelling_of_a_key_that_is_used_is_refused():
    for _ in range(50):
        key = X25519PrivateKey.generate().public_key().public_bytes_raw()
        assert not x25519_fault(key)
        assert "spelled" in x25519_fault(with_top_bit(key))  # RFC 7748 takes it for the same key


@pytest.mark.parametrize("fault", [x25519_fault, ed25519_fault])
@pytest.mark.parametrize("size", [0, 1, 31, 33, 44, 64])
def test_a_key_has_32_bytes(fault, size):
    assert "32 bytes" in fault(os.urandom(size))


# -- Ed25519: points as in RFC 8032, section 6 (affine, slow, on its own) ------------------------------


def add(one, other):
    (x1, y1), (x2, y2) = one, other
    cross = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P


def times(number, point):
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def root(square):
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if x * x % P == square else None


def recovered(y):
    x = root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
    return None if x is None else (x, y)


def torsion():
    """The eight points of small order, found by multiplying points with the order of the group."""
    found, y = {(0, 1)}, 2
    while len(found) < 8:
        point = recovered(y)
        if point is not None:
            small = times(ORDER, point)
            found |= {times(each, small) for each in range(8)}
        y += 1
    return found


def test_every_spelling_of_a_point_of_small_order_is_refused():
    points = torsion()
    assert len(points) == 8
    for x, y in points:
        assert times(8, (x, y)) == (0, 1)
        for spelled in (y, y + P):
            for sign in (0, TOP):
                if spelled < TOP:
                    key = (spelled | sign).to_bytes(32, "little")
                    assert "small order" in ed25519_fault(key), key.hex()


def test_what_is_no_point_is_refused_and_what_is_made_is_not():
    on_curve = 0
    for y in range(2, 200):
        fault = ed25519_fault(y.to_bytes(32, "little"))
        assert bool(fault) == (recovered(y) is None)
        on_curve += not fault
    assert 60 < on_curve < 140
    for _ in range(50):
        key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        assert not ed25519_fault(key)
        assert not ed25519_fault(bytes([*key[:31], key[31] ^ 0x80]))  # the negative: another key


@pytest.mark.parametrize("y", [P + 3, P + 4, P + 18])
def test_a_y_of_the_field_has_one_spelling(y):
    assert "spelled" in ed25519_fault(y.to_bytes(32, "little"))


@pytest.mark.parametrize("kind", [ED25519, ED25519_COSIGNATURE])
@pytest.mark.parametrize(
    ("key", "says"),
    [
        (bytes(32), "small order"),
        (bytes([1, *bytes(31)]), "small order"),
        ((P - 1).to_bytes(32, "little"), "small order"),
        ((P + 3).to_bytes(32, "little"), "spelled"),
        ((2).to_bytes(32, "little"), "no point"),
    ],
)
def test_a_verifier_key_that_nobody_can_hold_is_none(kind, key, says):
    with pytest.raises(NoteError, match=says):
        VerifierKey.parse(VerifierKey("overseer.example", kind, key).text)
