from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.ledger.merkle import (
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    memory_reader,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from ringfort.ledger.sequencer import Sequencer
from ringfort.ledger.tiles import (
    TileReader,
    decode_bundle,
    encode_bundle,
    parse_path,
    resume_range,
    tile_path,
)


def reference_root(leaves):
    """MTH as RFC 6962 section 2.1 writes it, without any cleverness."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(reference_root(leaves[:split]), reference_root(leaves[split:]))


def leaves_of(size):
    return [leaf_hash(str(each).encode()) for each in range(size)]


@given(st.integers(1, 300))
def test_the_compact_range_gives_the_defined_root(size):
    leaves = leaves_of(size)
    assert root_of(leaves) == reference_root(leaves)


@given(st.data())
def test_an_inclusion_proof_holds_and_only_for_its_leaf(data):
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    proof = inclusion_proof(index, size, memory_reader(leaves))
    verify_inclusion(index, size, leaves[index], proof, root_of(leaves))


@given(st.data())
def test_a_consistency_proof_holds(data):
    new = data.draw(st.integers(1, 200))
    old = data.draw(st.integers(1, new))
    leaves = leaves_of(new)
    proof = consistency_proof(old, new, memory_reader(leaves))
    verify_consistency(old, new, root_of(leaves[:old]), root_of(leaves), proof)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 700), st.lists(st.integers(0, 300), max_size=4), st.data())
def test_sequencing_in_any_steps_stores_one_and_the_same_tree(first, steps, data):
    store = {}
    made = Sequencer()
    entries = []
    for step in (first, *steps):
        for _ in range(step):
            entry = str(len(entries)).encode() * (len(entries) % 3)
            assert made.append(entry) == len(entries)
            entries.append(entry)
        store.update(made.drain())
        made = Sequencer.resume(made.size, store.get)
    leaves = [leaf_hash(each) for each in entries]
    assert made.root() == root_of(leaves)
    assert resume_range(len(entries), store.get)[0].root() == made.root()
    read = TileReader(len(entries), store.get)
    if entries:
        index = data.draw(st.integers(0, len(entries) - 1))
        verify_inclusion(
            index, len(entries), leaves[index], inclusion_proof(index, len(entries), read), made.root()
        )
        old = data.draw(st.integers(1, len(entries)))
        proof = consistency_proof(old, len(entries), read)
        verify_consistency(old, len(entries), root_of(leaves[:old]), made.root(), proof)
    for number in range((len(entries) + 255) // 256):
        part = entries[number * 256 : (number + 1) * 256]
        assert decode_bundle(store[tile_path(-1, number, len(part))], len(part)) == part


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, 256))
def test_a_tile_path_parses_to_what_it_was_made_of(level, index, width):
    address = parse_path(tile_path(level, index, width))
    assert (address.level, address.index, address.width) == (level, index, width)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_decodes_to_its_entries(entries):
    assert decode_bundle(encode_bundle(entries), len(entries)) == entries


@given(st.integers(0, 1000))
def test_a_copy_of_a_range_grows_on_its_own(size):
    tree = CompactRange()
    for each in leaves_of(size % 40):
        tree.append(each)
    root = tree.root()
    tree.copy().append(leaf_hash(b"more"))
    assert tree.root() == root
