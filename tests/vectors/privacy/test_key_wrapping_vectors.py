"""Wrapped secrets and secrets of epochs against published vectors, and the primitives done by hand."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfort.derivations import DERIVATIONS
from ringfort.privacy.domain_secrets import domain_secret, fingerprint_key
from ringfort.privacy.pseudonym import Domain
from ringfort.sites.key_encryption import FileKeyEncryptionKey, context, parse_wrapped, write_wrapped

# McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 14 to 16 (AES-256,
# 96-bit nonce): key, nonce, plaintext, associated data, ciphertext, tag. NIST SP 800-38D refers to them.
_KEY = "feffe9928665731c6d6a8f9467308308" * 2
_PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
)
VECTORS = [
    (
        "00" * 32,
        "00" * 12,
        "00" * 16,
        "",
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ),
    (
        _KEY,
        "cafebabefacedbaddecaf888",
        _PLAIN + "1aafd255",
        "",
        _SEALED + "898015ad",
        "b094dac5d93471bdec1a502270e3cc6c",
    ),
    (
        _KEY,
        "cafebabefacedbaddecaf888",
        _PLAIN,
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        _SEALED,
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_aes_256_gcm(vector):
    key, nonce, plain, associated, sealed, tag = vector
    kek = FileKeyEncryptionKey(bytes.fromhex(key), randomness=lambda _: bytes.fromhex(nonce))
    wrapped = kek.wrap(bytes.fromhex(plain), bytes.fromhex(associated))
    assert wrapped.hex() == nonce + sealed + tag
    assert kek.unwrap(wrapped, bytes.fromhex(associated)).hex() == plain


def test_a_stored_secret_can_be_opened_by_hand():
    key, secret = bytes(range(32)), bytes(range(32, 64))
    kek = FileKeyEncryptionKey(key, randomness=lambda size: b"n" * size)
    stored = write_wrapped(kek, "domains/x.key", secret)
    form, name, data = stored.decode().split()
    raw = base64.b64decode(data)
    parts = [each.encode() for each in (form, name, "domains/x.key")]
    associated = b"".join(len(each).to_bytes(2, "big") + each for each in parts)
    assert name == "file:" + hashlib.sha256(b"ringfort-kek-id/1" + key).hexdigest()[:32]
    assert associated == context(name, "domains/x.key")
    assert AESGCM(key).decrypt(raw[:12], raw[12:], associated) == secret
    assert parse_wrapped(stored, "x").data == raw


def hkdf(key, salt, info):
    """RFC 5869 with SHA-256 and one block, from its text."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_the_secret_of_an_epoch_is_hkdf_of_root_and_random_value():
    root, salt, domain = bytes(range(32)), bytes(range(64, 96)), Domain("ACME Inc", "analytics", 3)
    fields = b"\x00\x08ACME Inc\x00\x09analytics\x00\x013"
    for derivation in DERIVATIONS:
        secret = domain_secret(root, salt, domain, derivation)
        label = b"ringfort-domain-secret/%d" % derivation
        assert (secret.value, secret.derivation) == (hkdf(root, salt, label + fields), derivation)
    assert fingerprint_key(root) == hkdf(root, bytes(32), b"ringfort-fingerprint/1")
