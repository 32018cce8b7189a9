from __future__ import annotations

import pytest

from ringfort.ledger.errors import MerkleError, TilesError
from ringfort.ledger.merkle import CompactRange, inclusion_proof, leaf_hash
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.tiles import (
    TileReader,
    decode_bundle,
    encode_bundle,
    parse_path,
    read_bundle,
    read_tile,
    split_hashes,
    tile_path,
)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/1/000",
        "tile/0/x001",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/8/0/000",
        "tile/entries/٠٠٠",
        "tile/0/000\n",
        "tile/0/" + "x001/" * 20 + "000",
    ],
)
def test_paths_that_are_not_canonical_are_refused(path):
    with pytest.raises(TilesError):
        parse_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(64, 0, 1), (-2, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_tiles_that_cannot_be_have_no_path(level, index, width):
    with pytest.raises(TilesError):
        tile_path(level, index, width)


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"", 1), (b"\0", 1), (b"\0\x02x", 1), (b"\0\0\0", 1), (b"\0\0", 2), (b"\xff\xff" + b"x" * 65534, 1)],
)
def test_bundles_that_do_not_hold_exactly_their_entries_are_refused(data, width):
    with pytest.raises(TilesError):
        decode_bundle(data, width)


def test_an_entry_of_64_kib_is_the_longest():
    longest = b"x" * 65_535
    assert decode_bundle(encode_bundle([longest, b""]), 2) == [longest, b""]
    with pytest.raises(TilesError):
        encode_bundle([longest + b"x"])
    with pytest.raises(TilesError):
        Sequencer().append(longest + b"x")


def test_a_tile_is_whole_hashes():
    assert split_hashes(b"") == []
    with pytest.raises(TilesError):
        split_hashes(bytes(33))


def stored(size):
    store = {}
    made = Sequencer()
    for each in range(size):
        made.append(str(each).encode())
    store.update(made.drain())
    return made, store


def test_a_partial_tile_that_is_gone_is_found_in_the_full_one():
    _, store = stored(300)
    full = store["tile/0/000"]
    assert read_tile(store.get, 0, 0, 10) == full[:320]
    assert read_bundle(store.get, 0, 3) == ([b"0", b"1", b"2"], "")
    with pytest.raises(TilesError):
        read_tile(store.get, 0, 1, 10)
    assert read_bundle(store.get, 1, 10)[1] != ""


def test_resuming_needs_every_partial_tile_and_its_bundle():
    made, store = stored(300)
    assert Sequencer.resume(300, store.get).root() == made.root()
    for path in ("tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"):
        with pytest.raises(TilesError):
            Sequencer.resume(300, {key: value for key, value in store.items() if key != path}.get)
    store["tile/entries/001.p/44"] = encode_bundle([b"changed"] * 44)
    with pytest.raises(TilesError, match="does not match"):
        Sequencer.resume(300, store.get)


def test_resources_are_handed_out_once_and_partial_ones_only_on_demand():
    made = Sequencer()
    assert made.drain() == {}
    for each in range(257):
        made.append(str(each).encode())
    assert set(made.drain(partial=False)) == {"tile/0/000", "tile/entries/000"}
    assert set(made.drain()) == {"tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/001.p/1"}
    assert made.drain() == {}


def test_a_reader_knows_no_subtree_beyond_the_tree():
    _, store = stored(300)
    read = TileReader(300, store.get)
    assert read(0, 299) == leaf_hash(b"299")
    for height, index in ((0, 300), (8, 1), (2, 75), (16, 0)):
        with pytest.raises(TilesError):
            read(height, index)
    with pytest.raises(MerkleError):
        inclusion_proof(300, 300, read)


def test_a_compact_range_has_one_root_for_each_bit():
    with pytest.raises(MerkleError):
        CompactRange(3, [bytes(32)])
    with pytest.raises(MerkleError):
        CompactRange(1, [bytes(31)])
