"""Examples out of the C2SP specifications (github C2SP/C2SP): signed-note, tlog-cosignature, tlog-tiles."""

from __future__ import annotations

import base64

import pytest

from ringfort.ledger.checkpoint import parse_text, parse_unverified
from ringfort.ledger.errors import NoteError
from ringfort.ledger.note import VerifierKey, open_note, parse_note
from ringfort.ledger.tiles import ENTRIES, TileAddress, parse_path, partial_tiles, tile_path, tiles_of

# signed-note, section "Verifier keys", example.
KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu7"
    "2IneyaQM=\n"
).encode()

# tlog-cosignature, introduction: a checkpoint with the log's signature and a witness's cosignature.
CHECKPOINT = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9n"
    "To+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqh"
    "f5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()


def test_the_signed_note_example_verifies():
    key = VerifierKey.parse(KEY)
    assert key.text == KEY
    note, verified = open_note(NOTE, [key])
    assert note.text == "This is an example message.\n"
    assert verified == (key,)
    assert note.encode() == NOTE


def test_every_changed_byte_of_the_signed_note_example_is_found():
    key = VerifierKey.parse(KEY)
    for position in range(len(NOTE)):
        changed = bytearray(NOTE)
        changed[position] ^= 1
        with pytest.raises(NoteError):
            open_note(bytes(changed), [key])


def test_the_checkpoint_example_parses():
    checkpoint = parse_unverified(CHECKPOINT)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20_852_163
    assert base64.b64encode(checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    note = parse_note(CHECKPOINT)
    assert [each.name for each in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    # u64 timestamp and Ed25519 signature; the specification's text names this time.
    assert len(note.signatures[1].data) == 72
    assert int.from_bytes(note.signatures[1].data[:8]) == 1679315147
    assert note.encode() == CHECKPOINT
    assert parse_text(checkpoint.text) == checkpoint


def test_tile_paths():
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(ENTRIES, 0, 8) == "tile/entries/000.p/8"
    assert parse_path("tile/63/x001/x234/067.p/255") == TileAddress(63, 1234067, 255)


def test_the_tiles_of_a_tree_of_70000():
    # tlog-tiles, section "Partial Tiles".
    tiles = list(tiles_of(70_000))
    assert sum(each.level == 0 and each.width == 256 for each in tiles) == 273
    assert sum(each.level == 1 and each.width == 256 for each in tiles) == 1
    partial = [TileAddress(0, 273, 112), TileAddress(1, 1, 17), TileAddress(2, 0, 1)]
    assert list(partial_tiles(70_000)) == partial
    assert len(tiles) == 273 + 1 + 3
    assert list(tiles_of(256)) == [TileAddress(0, 0, 256), TileAddress(1, 0, 1)]
    assert list(tiles_of(0)) == []
