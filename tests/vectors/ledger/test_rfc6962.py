"""RFC 6962 tree hashes and proofs.

Provenance: the eight leaf inputs, their subtree hashes and the nine root hashes are those of the Certificate
Transparency reference implementation (google/certificate-transparency, merkle_tree_test.cc), published again
in transparency-dev/merkle `testonly/constants.go` (Apache-2.0). Proofs are named by the subtrees they
consist of, and the ways to spoil one are those of transparency-dev/merkle `testdata/` (consistency and
inclusion, 196 files). One of these is deliberately judged otherwise: a consistency "proof" between roots
that are no hashes is refused here.
"""

from __future__ import annotations

import hashlib

import pytest

from ringfort.ledger.errors import MerkleError
from ringfort.ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    memory_reader,
    root_of,
    verify_consistency,
    verify_inclusion,
)

INPUTS = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
NODES = [
    [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
        "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
    ],
    [
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    ],
    [
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    ["5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"],
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [bytes.fromhex(each) for each in NODES[0]]


def node(height: int, index: int) -> bytes:
    return bytes.fromhex(NODES[height][index])


def root(size: int) -> bytes:
    return bytes.fromhex(ROOTS[size])


# (leaf, size) -> the subtrees (height, index) of its audit path, leaf's sibling first.
INCLUSION = {
    (0, 1): [],
    (0, 8): [(0, 1), (1, 1), (2, 1)],
    (5, 8): [(0, 4), (1, 3), (2, 0)],
    (2, 3): [(1, 0)],
    (1, 5): [(0, 0), (1, 1), (0, 4)],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [(0, 1), (1, 1), (2, 1)],
    (6, 8): [(1, 2), (1, 3), (2, 0)],
    (2, 5): [(1, 1), (0, 4)],
    (6, 7): [(1, 2), (0, 6), (2, 0)],
}


def test_the_empty_tree():
    assert EMPTY_ROOT.hex() == ROOTS[0] == hashlib.sha256(b"").hexdigest()
    assert CompactRange().root() == EMPTY_ROOT


def test_leaf_hashes_and_roots():
    assert [leaf_hash(each) for each in INPUTS] == HASHES
    for size, expected in enumerate(ROOTS):
        assert root_of(HASHES[:size]).hex() == expected


def test_subtree_hashes():
    read = memory_reader(HASHES)
    for height, row in enumerate(NODES):
        assert [read(height, index).hex() for index in range(len(row))] == row


@pytest.mark.parametrize(("leaf", "size"), INCLUSION)
def test_audit_paths(leaf, size):
    expected = [node(*each) for each in INCLUSION[leaf, size]]
    assert inclusion_proof(leaf, size, memory_reader(HASHES[:size])) == expected
    verify_inclusion(leaf, size, HASHES[leaf], expected, root(size))


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs(old, new):
    expected = [node(*each) for each in CONSISTENCY[old, new]]
    assert consistency_proof(old, new, memory_reader(HASHES[:new])) == expected
    verify_consistency(old, new, root(old), root(new), expected)


GARBAGE = [hashlib.sha256(b"garbage").digest()]


def spoiled_proofs(proof, first_root, second_root):
    """The proof spoiled in each way that transparency-dev/merkle probes."""
    for index, each in enumerate(proof):
        spoiled = bytearray(each)
        spoiled[0] ^= 16
        yield [*proof[:index], bytes(spoiled), *proof[index + 1 :]]
    yield [*proof, b""]
    yield [*proof, *GARBAGE]
    yield [*GARBAGE, *proof]
    yield [*proof, first_root]
    yield [*proof, second_root]
    yield [first_root, *proof]
    yield [second_root, *proof]
    if proof:
        yield []
        yield proof[:-1]
        yield proof[1:]
        yield [proof[0], *proof]
        yield [*proof[:-1], b""]
        yield [*proof[:-1], proof[-1][:31]]
        yield [*proof[:-1], proof[-1] + b"\0"]


@pytest.mark.parametrize(("leaf", "size"), INCLUSION)
def test_a_spoiled_audit_path_is_refused(leaf, size):
    proof = [node(*each) for each in INCLUSION[leaf, size]]
    for spoiled in spoiled_proofs(proof, HASHES[leaf], root(size)):
        with pytest.raises(MerkleError):
            verify_inclusion(leaf, size, HASHES[leaf], spoiled, root(size))
    for other_leaf, other_size in [
        (leaf - 1, size),
        (leaf + 1, size),
        (leaf ^ 2, size),
        (leaf, size * 2),
        (leaf, size // 2),
        (leaf + 8, size + 8),
        (-1, size),
        (leaf, -1),
        (size, size),
    ]:
        with pytest.raises(MerkleError):
            verify_inclusion(other_leaf, other_size, HASHES[leaf], proof, root(size))
    for wrong in (b"", EMPTY_ROOT, HASHES[7 - leaf], root(size)[:31]):
        with pytest.raises(MerkleError):
            verify_inclusion(leaf, size, HASHES[leaf], proof, wrong)
        with pytest.raises(MerkleError):
            verify_inclusion(leaf, size, wrong, proof, root(size))


@pytest.mark.parametrize(("old", "new"), [each for each in CONSISTENCY if each != (1, 1)])
def test_a_spoiled_consistency_proof_is_refused(old, new):
    proof = [node(*each) for each in CONSISTENCY[old, new]]
    for spoiled in spoiled_proofs(proof, root(old), root(new)):
        with pytest.raises(MerkleError):
            verify_consistency(old, new, root(old), root(new), spoiled)
    for other_old, other_new in [
        (old - 1, new),
        (old + 1, new),
        (old ^ 2, new),
        (old, new * 2),
        (old, new // 2),
        (0, new),
        (-1, new),
        (new, old),
    ]:
        if (other_old, other_new) != (old, new):
            with pytest.raises(MerkleError):
                verify_consistency(other_old, other_new, root(old), root(new), proof)
    with pytest.raises(MerkleError):
        verify_consistency(old, new, root(new), root(old), proof)
    with pytest.raises(MerkleError):
        verify_consistency(old, new, GARBAGE[0], root(new), proof)
    with pytest.raises(MerkleError):
        verify_consistency(old, new, root(old), GARBAGE[0], proof)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_equal_sizes_need_equal_roots_and_no_proof(size):
    if size:
        verify_consistency(size, size, root(size), root(size), [])
        with pytest.raises(MerkleError):
            verify_consistency(size, size, root(size), GARBAGE[0], [])
        with pytest.raises(MerkleError):
            verify_consistency(size, size, root(size), root(size), GARBAGE)
    else:
        with pytest.raises(MerkleError):
            verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])


def test_nothing_is_proven_about_an_old_tree_of_size_0():
    with pytest.raises(MerkleError):
        verify_consistency(0, 8, EMPTY_ROOT, root(8), [])
    with pytest.raises(MerkleError):
        consistency_proof(0, 8, memory_reader(HASHES))


def test_what_is_no_hash_is_refused_even_where_it_would_not_be_used():
    with pytest.raises(MerkleError):
        verify_consistency(1, 1, b"don't care 2", b"don't care 2", [])
