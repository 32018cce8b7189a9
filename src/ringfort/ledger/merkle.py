"""The Merkle tree of RFC 6962 over SHA-256: hashes, compact range, inclusion and consistency proofs.

Follows RFC 6962 section 2.1 (and RFC 9162 section 2.1 for verification). Invariants: a leaf and a node never
share a hash (domain separation by a first byte); verification accepts exactly the proof that the
specification builds, nothing longer or shorter. Old trees of size 0 and hashes that are not 32 bytes are
refused: everything is consistent with nothing, so such a proof proves nothing. Left out: storage (see
`tiles`) and signatures.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ringfort.ledger.errors import MerkleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00 || data), 32 bytes."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 || left || right), 32 bytes."""
    return _sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The roots of the perfect subtrees of a growing tree: enough to append and to tell the root.

    `stack[i]` are the roots from left to right, heights falling; their sizes are the bits of `size`.
    """

    __slots__ = ("size", "stack")

    def __init__(self, size: int = 0, stack: Iterable[bytes] = ()) -> None:
        self.size = size
        self.stack = list(stack)
        if len(self.stack) != size.bit_count() or any(len(each) != HASH_BYTES for each in self.stack):
            raise MerkleError(f"a tree of size {size} has {size.bit_count()} subtree roots of 32 bytes")

    def append(self, hashed_leaf: bytes) -> None:
        """Add a leaf by its hash."""
        node = hashed_leaf
        size = self.size
        while size & 1:
            node = _sha256(b"\x01" + self.stack.pop() + node).digest()
            size >>= 1
        self.stack.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root hash; of the empty tree SHA-256("")."""
        return fold_roots(self.stack)

    def copy(self) -> CompactRange:
        """An independent copy."""
        return CompactRange(self.size, self.stack)


def fold_roots(stack: Sequence[bytes]) -> bytes:
    """The root above perfect subtree roots given from left to right."""
    if not stack:
        return EMPTY_ROOT
    node = stack[-1]
    for left in reversed(stack[:-1]):
        node = _sha256(b"\x01" + left + node).digest()
    return node


def root_of(hashed_leaves: Iterable[bytes]) -> bytes:
    """The root hash of a tree given by its leaf hashes."""
    tree = CompactRange()
    for each in hashed_leaves:
        tree.append(each)
    return tree.root()


def memory_reader(hashed_leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """A node reader over leaf hashes in memory: `reader(height, i)` is the i-th perfect subtree's root."""

    def read(height: int, index: int) -> bytes:
        if height == 0:
            return hashed_leaves[index]
        return root_of(hashed_leaves[index << height : (index + 1) << height])

    return read


def subtree_root(start: int, end: int, node: Callable[[int, int], bytes]) -> bytes:
    """MTH(D[start:end]) where `start` is a multiple of the smallest power of two >= end - start."""
    stack: list[bytes] = []
    position = start
    while position < end:
        height = (end - position).bit_length() - 1
        stack.append(node(height, position >> height))
        position += 1 << height
    return fold_roots(stack)


def inclusion_proof(index: int, size: int, node: Callable[[int, int], bytes]) -> list[bytes]:
    """RFC 6962 PATH(index, D[size]), from the leaf's sibling upwards."""
    if not 0 <= index < size:
        raise MerkleError(f"no leaf {index} in a tree of size {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            proof.append(subtree_root(split, end, node))
            end = split
        else:
            proof.append(subtree_root(start, split, node))
            start = split
    proof.reverse()
    return proof


def consistency_proof(old: int, new: int, node: Callable[[int, int], bytes]) -> list[bytes]:
    """RFC 6962 PROOF(old, D[new]); empty if the sizes are equal."""
    if not 0 < old <= new:
        raise MerkleError(f"no consistency proof from size {old} to size {new}")
    proof: list[bytes] = []
    start, end = 0, new
    complete = True  # the old tree's part of this subtree is the old tree itself: its root is known
    while end != old or not complete:
        if end == old:
            proof.append(subtree_root(start, end, node))
            break
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= split:
            proof.append(subtree_root(split, end, node))
            end = split
        else:
            proof.append(subtree_root(start, split, node))
            start = split
            complete = False
    proof.reverse()
    return proof


def root_from_inclusion(index: int, size: int, hashed_leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to; raises MerkleError if the proof has not the right shape."""
    if not 0 <= index < size:
        raise MerkleError(f"no leaf {index} in a tree of size {size}")
    _require_hashes([hashed_leaf, *proof])
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(proof) != inner + border:
        raise MerkleError(f"an inclusion proof here has {inner + border} hashes, not {len(proof)}")
    node = hashed_leaf
    for height, sibling in enumerate(proof[:inner]):
        node = node_hash(sibling, node) if (index >> height) & 1 else node_hash(node, sibling)
    for sibling in proof[inner:]:
        node = node_hash(sibling, node)
    return node


def verify_inclusion(index: int, size: int, hashed_leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise MerkleError unless `hashed_leaf` is leaf `index` of the tree with this size and root."""
    _require_hashes([root])
    if root_from_inclusion(index, size, hashed_leaf, proof) != root:
        raise MerkleError("the inclusion proof does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise MerkleError unless the tree (new, new_root) begins with the tree (old, old_root)."""
    _require_hashes([old_root, new_root, *proof])
    if not 0 < old <= new:
        raise MerkleError(f"no consistency can be proven from size {old} to size {new}")
    if old == new:
        if proof:
            raise MerkleError("a consistency proof between equal sizes is empty")
        if old_root != new_root:
            raise MerkleError("two roots for one size")
        return
    # RFC 9162 section 2.1.4.2, arranged as transparency-dev does: the proof of the old tree's last full
    # subtree (its root omitted if it is the whole old tree), then an inclusion path.
    trailing = (old & -old).bit_length() - 1
    inner = ((old - 1) ^ (new - 1)).bit_length() - trailing
    border = ((old - 1) >> ((old - 1) ^ (new - 1)).bit_length()).bit_count()
    start = 0 if old == 1 << trailing else 1
    if len(proof) != start + inner + border:
        raise MerkleError(f"a consistency proof here has {start + inner + border} hashes, not {len(proof)}")
    seed = proof[0] if start else old_root
    rest = proof[start:]
    mask = (old - 1) >> trailing
    one, two = seed, seed
    for height, sibling in enumerate(rest[:inner]):
        if (mask >> height) & 1:
            one, two = node_hash(sibling, one), node_hash(sibling, two)
        else:
            two = node_hash(two, sibling)
    for sibling in rest[inner:]:
        one, two = node_hash(sibling, one), node_hash(sibling, two)
    if one != old_root:
        raise MerkleError("the consistency proof does not lead to the old root")
    if two != new_root:
        raise MerkleError("the consistency proof does not lead to the new root")


def _require_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise MerkleError("a hash has 32 bytes")
