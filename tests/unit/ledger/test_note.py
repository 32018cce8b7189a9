from __future__ import annotations

import base64

import pytest

from ringfort.ledger.checkpoint import Checkpoint, open_checkpoint, parse_text
from ringfort.ledger.cosignature import cosign, cosigners, verify_cosignature
from ringfort.ledger.errors import MerkleError, NoteError
from ringfort.ledger.merkle import EMPTY_ROOT, inclusion_proof, leaf_hash, memory_reader, root_of
from ringfort.ledger.note import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Ed25519Signer,
    Note,
    Signature,
    VerifierKey,
    open_note,
    parse_note,
    sign_note,
)
from ringfort.ledger.proof import LogProof, parse_proof

ALICE = Ed25519Signer("alice.example/log", bytes(32))
BOB = Ed25519Signer("bob.example/log", bytes([1]) * 32)
ROOT = bytes(range(32))


def test_a_note_signed_by_two_is_opened_by_either():
    data = sign_note("hello\n\nworld\n", [ALICE, BOB])
    for keys in ([ALICE.key], [BOB.key], [ALICE.key, BOB.key]):
        note, verified = open_note(data, keys)
        assert note.text == "hello\n\nworld\n"
        assert list(verified) == keys


def test_a_note_by_unknown_keys_is_refused():
    data = sign_note("hello\n", [ALICE])
    with pytest.raises(NoteError, match="not signed"):
        open_note(data, [BOB.key])
    same_name = Ed25519Signer(ALICE.key.name, bytes([2]) * 32)
    with pytest.raises(NoteError, match="not signed"):
        open_note(data, [same_name.key])


def test_one_false_signature_by_a_known_key_refuses_the_note():
    good, bad = ALICE.sign("hello\n"), BOB.sign("other\n")
    data = Note("hello\n", (good, bad)).encode()
    open_note(data, [ALICE.key])
    with pytest.raises(NoteError, match="does not verify"):
        open_note(data, [ALICE.key, BOB.key])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello\n",
        b"hello\n\n",
        b"hello\n\nno signature\n",
        "hello\n\n— alice.example/log\n".encode(),
        "hello\n\n— alice.example/log AAAA\n".encode(),
        "hello\n\n— alice.example/log AAAAAA\n".encode(),
        "hello\n\n— alice.example/log AAAAAB==\n".encode(),
        "hello\n\n— alice.example/log AAAAAAA= x\n".encode(),
        "hello\n\n— alice+example/log AAAAAAA=\n".encode(),
        b"hello\n\n- alice.example/log AAAAAAA=\n",
        "hello\n\n— alice.example/log AAAAAAA=".encode(),
        "hello\n\n— alice.example/log AAAAAAA=\n\n".encode(),
        "hel\rlo\n\n— alice.example/log AAAAAAA=\n".encode(),
        b"\xff\n\n" + "— alice.example/log AAAAAAA=\n".encode(),
        b"x" * (1 << 20) + "\n\n— alice.example/log AAAAAAA=\n".encode(),
        b"x\n\n" + "— alice.example/log AAAAAAA=\n".encode() * 101,
    ],
)
def test_malformed_notes_are_refused(data):
    with pytest.raises(NoteError):
        parse_note(data)


def test_sixteen_signatures_and_more_are_accepted():
    signers = [Ed25519Signer(f"signer{each}.example", bytes([each]) * 32) for each in range(64)]
    note, verified = open_note(sign_note("x\n", signers), [signers[63].key, signers[0].key])
    assert len(note.signatures) == 64
    assert len(verified) == 2


@pytest.mark.parametrize("text", ["hello", "a\tb\n", "a\x00\n"])
def test_texts_that_make_no_note_are_not_signed(text):
    with pytest.raises(NoteError):
        sign_note(text, [ALICE])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "x" * 256])
def test_names_that_make_no_key_are_refused(name):
    with pytest.raises(NoteError):
        Ed25519Signer(name, bytes(32))


IDENTITY = ALICE.key.id.hex()


def vkey(name=ALICE.key.name, identity=IDENTITY, material=b"\x01" + ALICE.key.public_key):
    return f"{name}+{identity}+{base64.b64encode(material).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        vkey() + "\n",
        vkey(identity="00000000"),
        vkey(identity=ALICE.key.id.hex().upper()),
        vkey(name="bob"),
        vkey(material=b"\x02" + ALICE.key.public_key),
        vkey(material=b"\x01" + ALICE.key.public_key[:-1]),
        vkey(material=b""),
        vkey() + "=",
    ],
)
def test_malformed_verifier_keys_are_refused(text):
    assert VerifierKey.parse(vkey()) == ALICE.key
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


def test_checkpoints_round_trip():
    for size, root in ((0, EMPTY_ROOT), (7, ROOT), ((1 << 63) - 1, ROOT)):
        checkpoint = Checkpoint(ALICE.key.name, size, root)
        assert open_checkpoint(checkpoint.sign([ALICE]), ALICE.key) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "alice.example/log\n7\n",
        "alice.example/log\n7\n" + base64.b64encode(ROOT).decode() + "\nextension\n",
        "alice.example/log\n07\n" + base64.b64encode(ROOT).decode() + "\n",
        "alice.example/log\n-7\n" + base64.b64encode(ROOT).decode() + "\n",
        "alice.example/log\n٧\n" + base64.b64encode(ROOT).decode() + "\n",
        "alice.example/log\n9223372036854775808\n" + base64.b64encode(ROOT).decode() + "\n",
        "alice.example/log\n7\n" + base64.b64encode(ROOT[:31]).decode() + "\n",
        "alice.example/log\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n",
        "alice.example/log\n0\n" + base64.b64encode(ROOT).decode() + "\n",
        "\n7\n" + base64.b64encode(ROOT).decode() + "\n",
        "alice example\n7\n" + base64.b64encode(ROOT).decode() + "\n",
    ],
)
def test_malformed_checkpoints_are_refused(text):
    with pytest.raises(NoteError):
        parse_text(text)


def test_a_checkpoint_of_another_origin_is_refused():
    data = Checkpoint("bob.example/log", 7, ROOT).sign([ALICE])
    with pytest.raises(NoteError, match="another log"):
        open_checkpoint(data, ALICE.key)


@pytest.mark.parametrize("kind", [ED25519_COSIGNATURE, MLDSA44_COSIGNATURE])
def test_a_cosignature_verifies_and_says_when(kind):
    text = Checkpoint(ALICE.key.name, 7, ROOT).text
    line = cosign(text, "witness.example/w1", bytes(32), 1679315147, kind)
    public = _public(kind)
    key = VerifierKey("witness.example/w1", kind, public)
    assert VerifierKey.parse(key.text) == key
    note = Note(text, (ALICE.sign(text), line))
    assert cosigners(parse_note(note.encode()), [key]) == {"witness.example/w1": 1679315147}
    assert open_checkpoint(note.encode(), ALICE.key).size == 7
    changed = Signature(line.name, line.key_id, line.data[:-1] + bytes([line.data[-1] ^ 1]))
    later = Signature(line.name, line.key_id, (1).to_bytes(8) + line.data[8:])
    short = Signature(line.name, line.key_id, line.data[:-1])
    beyond = Signature(line.name, line.key_id, b"\xff" * 8 + line.data[8:])
    for false in (changed, later, short, beyond, ALICE.sign(text)):
        with pytest.raises(NoteError):
            verify_cosignature(note, false, key)
    other = Note(Checkpoint(ALICE.key.name, 8, ROOT).text, ())
    with pytest.raises(NoteError):
        verify_cosignature(other, line, key)


def _public(kind):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    if kind == ED25519_COSIGNATURE:
        return Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    return MLDSA44PrivateKey.from_seed_bytes(bytes(32)).public_key().public_bytes_raw()


def test_cosigning_refuses_what_is_no_checkpoint():
    with pytest.raises(NoteError):
        cosign("hello\n", "w", bytes(32), 1)
    with pytest.raises(NoteError):
        cosign(Checkpoint("o", 7, ROOT).text, "w", bytes(32), -1)
    with pytest.raises(NoteError):
        cosign(Checkpoint("o", 7, ROOT).text, "w", bytes(32), 1, kind=1)


def proof_of(index, entries, extra=None):
    leaves = [leaf_hash(each) for each in entries]
    checkpoint = Checkpoint(ALICE.key.name, len(entries), root_of(leaves)).sign([ALICE])
    return LogProof(
        index, tuple(inclusion_proof(index, len(entries), memory_reader(leaves))), checkpoint, extra
    )


@pytest.mark.parametrize("extra", [None, b"", b"some"])
def test_a_log_proof_is_checked_offline(extra):
    entries = [bytes([each]) for each in range(9)]
    proof = proof_of(5, entries, extra)
    again = parse_proof(proof.encode())
    assert again == proof
    assert again.verify(entries[5], ALICE.key).size == 9
    with pytest.raises(MerkleError):
        again.verify(entries[4], ALICE.key)
    with pytest.raises(NoteError):
        again.verify(entries[5], BOB.key)


def test_malformed_log_proofs_are_refused():
    good = proof_of(5, [bytes([each]) for each in range(9)], b"some").encode()
    for old, new in (
        (b"@v1", b"@v2"),
        (b"extra c29tZQ==\n", b"extra c29tZR==\n"),
        (b"index 5", b"index 05"),
        (b"index 5", b"index -5"),
        (b"index 5\n", b""),
        (b"\n\nalice", b"\nalice"),
        (b"=\n\n", b"=\nAAAA\n\n"),
    ):
        assert old in good
        with pytest.raises(NoteError):
            parse_proof(good.replace(old, new, 1))
