"""AES-SIV in columns is AES-SIV: `cryptography` and Tink are the oracles; what was sealed opens."""

import base64

import numpy as np
import pyarrow as pa
import tink
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import cleartext_keyset_handle, daead
from tink.proto import aes_siv_pb2, tink_pb2

from ringfort.privacy.siv import CHUNK, CHUNK_BYTES, Siv

KEYS = st.binary(min_size=64, max_size=64)
TEXTS = st.lists(st.none() | st.text(max_size=60), max_size=12)


def tink_says(key, text):
    """Tink, from a keyset with the same key and no output prefix."""
    daead.register()
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesSivKey",
        value=aes_siv_pb2.AesSivKey(version=0, key_value=key).SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    only = tink_pb2.Keyset.Key(
        key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW
    )
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[only])
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    sealed = handle.primitive(daead.DeterministicAead).encrypt_deterministically(text.encode(), b"")
    return base64.urlsafe_b64encode(sealed).decode()


def sealed(key, text):
    return base64.urlsafe_b64encode(AESSIV(key).encrypt(text.encode(), [b""])).decode()


@given(KEYS, TEXTS)
def test_each_value_is_what_cryptography_says(key, texts):
    siv = Siv(key)
    got = siv.column(pa.array(texts, pa.string()))
    assert got.to_pylist() == [None if each is None else sealed(key, each) for each in texts]
    assert siv.open_column(got).to_pylist() == texts


@given(KEYS, st.text(max_size=60))
@settings(max_examples=25)
def test_it_is_what_tink_says(key, text):
    assert Siv(key).column(pa.array([text])).to_pylist() == [tink_says(key, text)]


@given(KEYS, TEXTS, st.data())
def test_storage_does_not_matter(key, texts, data):
    siv = Siv(key)
    plain = pa.array(texts, pa.string())
    expected = siv.column(plain)
    cut = data.draw(st.integers(0, len(texts)))
    assert siv.column(plain.slice(cut)).equals(expected.slice(cut))
    assert siv.column(pa.chunked_array([plain.slice(0, cut), plain.slice(cut)])).equals(expected)
    assert siv.column(plain.dictionary_encode()).equals(expected)
    assert siv.column(plain.cast(pa.large_string())).equals(expected)
    assert siv.column(plain.cast(pa.string_view())).equals(expected)


@given(KEYS, st.lists(st.text(max_size=40), max_size=5))
def test_what_is_none_of_this_key_opens_to_nothing(key, texts):
    siv = Siv(key)
    others = Siv(bytes(64)).column(pa.array(texts, pa.string()))
    dirty = [*texts, *others.to_pylist(), "", "=", "A" * 24, "\u00e9" * 24, None]
    assert siv.open_column(pa.array(dirty, pa.string())).null_count == len(dirty)


def test_one_changed_character_and_other_writings_of_base64_open_to_nothing():
    siv = Siv(bytes(range(64)))
    good = siv.column(pa.array(["maeve.k@example.ie"])).to_pylist()[0]
    assert siv.open(good.encode()) == b"maeve.k@example.ie"
    for place in range(len(good)):
        other = "A" if good[place] != "A" else "B"
        assert siv.open((good[:place] + other + good[place + 1 :]).encode()) is None
    for other in (good.rstrip("="), good + "=", good + "\n", " " + good, good.replace("=", "")):
        assert other == good or siv.open(other.encode()) is None


def test_nothing_is_normalised_and_dirty_bytes_come_back():
    siv = Siv(bytes(64))
    twice = siv.column(pa.array(["Zo\u00eb", "Zoe\u0308"]))
    assert twice[0] != twice[1]
    assert siv.open_column(twice).to_pylist() == ["Zo\u00eb", "Zoe\u0308"]
    dirty = pa.array([b"\xff\xfe", b"a\0b"], pa.binary()).view(pa.string())
    assert siv.open_column(siv.column(dirty)).view(pa.binary()).to_pylist() == [b"\xff\xfe", b"a\0b"]


def test_several_chunks_and_very_long_values():
    rng = np.random.default_rng(5)
    sizes = rng.integers(0, 50, CHUNK + 5)
    sizes[[3, 9, CHUNK - 1]] = [CHUNK_BYTES + 7, 70_000, 4096]
    texts = ["x" * int(each) for each in sizes]
    got = Siv(bytes(64)).column(pa.array(texts)).to_pylist()
    for row in (0, 3, 4, 9, 10, CHUNK - 1, CHUNK, CHUNK + 4):
        assert got[row] == sealed(bytes(64), texts[row])
