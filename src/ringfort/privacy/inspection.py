"""Inspection of what is about to leave: personal data that a contract does not allow, counted, never shown.

`inspect_batch(plan, batch)` looks at every column of a reduced batch, in the form that it would leave in:

- texts, also in dictionaries, lists, structs and readable bytes: the patterns of `inspection_patterns`, the
  known identifiers of `fingerprint`, canaries, all in the plain and decoded readings of `inspection_text`;
- numbers: card numbers, known identifiers of digits alone, columns of national numbers;
- bytes that cannot be read (`binary`): in order only where the plan says so, as for pseudonyms and UUIDs.

Each distinct value of a batch is looked at once, and a column's values that were found clean are remembered,
so what repeats costs one dictionary encoding. A result counts rows by (column, kind) and can be merged in any
order and grouping; it is the same however rows are cut into batches. It holds no value. A `Chance` keeps, of
values that may match by chance (see `fingerprint` and `inspection_patterns.Bare`), a sample by keyed tags.

What makes a match a finding is said in `inspection_result`.
Left out: what `inspection_text` and the patterns leave out, column and file names, metadata of files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy.cmac import Cmac
from ringfort.privacy.fingerprint import CHUNK, derived_key
from ringfort.privacy.fingerprint_match import Matcher
from ringfort.privacy.inspection_columns import Leaf, leaves
from ringfort.privacy.inspection_numbers import card_numbers
from ringfort.privacy.inspection_patterns import BARE, PATTERNS, SIEVE
from ringfort.privacy.inspection_result import (
    BINARY,
    CANARY,
    PSEUDONYM,
    SAMPLE,
    Chance,
    ColumnRule,
    Finding,
    InspectionPlan,
    InspectionResult,
    tolerable_kinds,
)
from ringfort.privacy.inspection_text import readings, text_buffers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ringfort.privacy.fingerprint_match import Matches

    Ints = NDArray[np.int64]
    Found = dict[tuple[str, str], int]
    Chances = dict[tuple[str, str, int], Chance]

_REMEMBERED, _REMEMBERED_BYTES, _REPEATS = 65_536, 16 << 20, 2
_CIPHERTEXT = r"^[A-Za-z0-9_\-]{22,}={0,2}$"  # 16 bytes or more as base64url
_ANY_BARE = rf"^\s*(?:{'|'.join(each.shape for each in BARE)})\s*$"


def inspect_batch(plan: InspectionPlan, batch: pa.RecordBatch) -> InspectionResult:
    """What stands in the rows of `batch` that the plan does not allow. No value makes it raise."""
    return inspector(plan).batch(batch)


def inspector(plan: InspectionPlan) -> Inspector:
    """The inspector of a plan in this process: equal plans, told by their ids, have one."""
    return _inspector(_ById(plan.id, plan))


class _ById:
    """A plan that equals those of the same id."""

    def __init__(self, id_: str, plan: InspectionPlan) -> None:
        self.id = id_
        self.plan = plan

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.id == self.id


@lru_cache(maxsize=16)
def _inspector(plan: _ById) -> Inspector:
    return Inspector(plan.plan)


class Inspector:
    """Inspects batches by one plan. It remembers values that were found clean, which changes no result."""

    def __init__(self, plan: InspectionPlan) -> None:
        self._rules = {each.name: each for each in plan.columns}
        self.known = Matcher(plan.fingerprints) if plan.fingerprints is not None else None
        self.canaries = Matcher(plan.canaries) if plan.canaries is not None else None
        self.pseudonyms = pa.array(plan.pseudonyms, pa.binary(16)) if plan.pseudonyms else None
        self.sample = Cmac(derived_key(plan.key, "samples"))
        self.clean: dict[tuple[str, str], pa.Array] = {}

    def batch(self, batch: pa.RecordBatch) -> InspectionResult:
        """What stands in the rows of `batch`."""
        found: Found = {}
        chances: Chances = {}
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            rule = self._rules.get(name) or ColumnRule(name)
            look = _Look(self, rule, found, chances)
            for leaf in leaves(values):
                look.leaf(leaf)
        return InspectionResult(batch.num_rows, found, chances)


class _Look:
    """One column of one batch."""

    def __init__(self, inspector: Inspector, rule: ColumnRule, found: Found, chances: Chances) -> None:
        self._in = inspector
        self._rule = rule
        self._found = found
        self._chances = chances

    def leaf(self, leaf: Leaf) -> None:
        if leaf.kind == "text":
            self._texts(leaf)
        elif leaf.kind == "number":
            self._numbers(leaf)
        elif leaf.kind == "bytes":
            self._bytes(leaf)
        elif BINARY not in self._rule.allowed:
            self._count(BINARY, leaf.rows(np.ones(len(leaf.values), np.bool_)))

    # -- texts ---------------------------------------------------------------------------------------------

    def _texts(self, leaf: Leaf) -> None:
        fresh = self._fresh(leaf)
        clean = np.ones(len(leaf.values), np.bool_)
        for start in range(0, len(fresh), CHUNK):
            chosen = fresh[start : start + CHUNK]
            values = leaf.values.take(pa.array(chosen))
            texts, owners = readings(values)
            owners = chosen[owners]
            self._patterns(leaf, texts, owners, clean)
            self._identifiers(leaf, texts, owners, clean)
            self._bare(leaf, texts.slice(0, len(chosen)), chosen, clean)
        self._remember(leaf, fresh, clean)

    def _patterns(self, leaf: Leaf, texts: pa.Array, owners: Ints, clean: NDArray[np.bool_]) -> None:
        wanted = [each for each in PATTERNS if each.kind not in self._rule.allowed]
        rows = _matching(texts, SIEVE if wanted else "")
        if not len(rows):
            return
        left = texts.take(pa.array(rows))
        for pattern in wanted:
            some = _matching(left, pattern.shape)
            looked = left.take(pa.array(some)).to_pylist()
            held = np.fromiter(map(pattern.holds, looked), np.bool_, len(looked))
            self._hit(leaf, pattern.kind, owners[rows[some[held]]], clean)

    def _identifiers(self, leaf: Leaf, texts: pa.Array, owners: Ints, clean: NDArray[np.bool_]) -> None:
        for matcher in (self._in.canaries, self._in.known):
            if matcher is not None:
                for each in matcher.texts(texts):
                    self._matches(leaf, matcher, each, owners[each.rows], clean)

    def _matches(
        self, leaf: Leaf, matcher: Matcher, found: Matches, owners: Ints, clean: NDArray[np.bool_]
    ) -> None:
        names = matcher.fingerprints.names
        hits: dict[str, NDArray[np.bool_]] = {}
        for index in np.unique(found.kinds[found.kinds >= 0]).tolist():
            kind = CANARY if matcher is self._in.canaries else names[index]
            if kind == CANARY or kind not in self._rule.allowed:
                hits[kind] = found.kinds == index
        if not found.group:
            for kind, mine in hits.items():
                self._hit(leaf, kind, owners[mine], clean)
            return
        clean[owners] = False
        passed = np.zeros(len(owners), np.bool_)
        by_kind = {}
        for kind, mine in hits.items():
            passed |= mine
            by_kind[kind] = leaf.rows(_flags(len(leaf.values), owners[mine]))
        self._chance(leaf, found.group, found.one_in, owners, found.tags, passed, by_kind)

    def _bare(self, leaf: Leaf, texts: pa.Array, owners: Ints, clean: NDArray[np.bool_]) -> None:
        """Columns of national numbers that consist of digits, or nearly."""
        if "national_id" in self._rule.allowed:
            return
        rows = _matching(texts, _ANY_BARE)
        if not len(rows):
            return
        texts = texts.take(pa.array(rows))
        for place, bare in enumerate(BARE):
            some = _matching(texts, rf"^\s*(?:{bare.shape})\s*$")
            if len(some):
                tags = self._tags(texts.take(pa.array(some)))
                chosen = owners[rows[some]]
                clean[chosen] = False
                passed = np.zeros(len(tags), np.bool_)
                for at in _first(tags).tolist():  # only a sample is ever looked at
                    passed[at] = bare.passes(texts[int(some[at])].as_py().strip())
                total = leaf.rows(_flags(len(leaf.values), chosen))
                self._chance(
                    leaf, f"national {place}", bare.one_in, chosen, tags, passed, {"national_id": total}
                )

    def _tags(self, texts: pa.Array) -> NDArray[np.uint64]:
        data, offsets = text_buffers(texts)
        return self._in.sample.messages(data, offsets).view(np.uint64)[:, 0]

    # -- numbers and bytes ---------------------------------------------------------------------------------

    def _numbers(self, leaf: Leaf) -> None:
        values = leaf.values.to_numpy()
        rows = np.arange(len(values), dtype=np.int64)
        clean = np.ones(len(values), np.bool_)
        if "card" not in self._rule.allowed:
            self._hit(leaf, "card", rows[card_numbers(values)], clean)
        for matcher in (self._in.canaries, self._in.known):
            if matcher is not None:
                for each in matcher.numbers(values):
                    self._matches(leaf, matcher, each, rows[each.rows], clean)
        self._bare(leaf, leaf.values.cast(pa.string()), rows, clean)

    def _bytes(self, leaf: Leaf) -> None:
        known = self._in.pseudonyms
        if known is not None and leaf.values.type == known.type:
            self._count(CANARY, leaf.rows(_bools(pc.is_in(leaf.values, known))))
        if not self._rule.opaque and not {BINARY, PSEUDONYM} & self._rule.allowed:
            self._count(BINARY, leaf.rows(np.ones(len(leaf.values), np.bool_)))

    # -- counting ------------------------------------------------------------------------------------------

    def _hit(self, leaf: Leaf, kind: str, owners: Ints, clean: NDArray[np.bool_]) -> None:
        if len(owners):
            clean[owners] = False
            mask = _flags(len(leaf.values), owners)
            key = (self._rule.name, kind)
            # several ways of finding the same kind in one batch must not count a row twice
            leaf.found.setdefault(kind, np.zeros(len(leaf.values), np.bool_))
            new = mask & ~leaf.found[kind]
            leaf.found[kind] |= mask
            self._found[key] = self._found.get(key, 0) + leaf.rows(new)

    def _count(self, kind: str, rows: int) -> None:
        if rows:
            key = (self._rule.name, kind)
            self._found[key] = self._found.get(key, 0) + rows

    def _chance(  # noqa: PLR0917 - columns of what is counted
        self, leaf: Leaf, group: str, one_in: int, owners: Ints, tags: NDArray[np.uint64],
        passed: NDArray[np.bool_], hits: dict[str, int],
    ) -> None:  # fmt: skip
        counts = leaf.counts()[owners]
        distinct, first, inverse = np.unique(tags, return_index=True, return_inverse=True)
        rows = np.bincount(inverse, weights=counts).astype(np.int64)
        sample = {
            int(distinct[at]): (bool(passed[first[at]]), int(rows[at]))
            for at in range(min(SAMPLE, len(distinct)))
        }
        key = (self._rule.name, group, one_in)
        chance = Chance(int(counts.sum()), hits, sample)
        self._chances[key] = self._chances[key].merge(chance) if key in self._chances else chance

    # -- what repeats --------------------------------------------------------------------------------------

    def _fresh(self, leaf: Leaf) -> Ints:
        """The values that have not been found clean before, by their places."""
        known = self._in.clean.get((self._rule.name, leaf.path))
        if self._rule.opaque:
            return np.flatnonzero(~_bools(pc.match_substring_regex(leaf.values, _CIPHERTEXT)))
        if known is None:
            return np.arange(len(leaf.values), dtype=np.int64)
        return np.flatnonzero(~_bools(pc.is_in(leaf.values, known.cast(leaf.values.type))))

    def _remember(self, leaf: Leaf, fresh: Ints, clean: NDArray[np.bool_]) -> None:
        if len(leaf.values) * _REPEATS > leaf.size or not len(fresh):
            return
        key = (self._rule.name, leaf.path)
        new = leaf.values.take(pa.array(fresh[clean[fresh]])).cast(pa.large_string())
        old = self._in.clean.get(key)
        both = new if old is None else pa.concat_arrays([old, new])
        if len(both) <= _REMEMBERED and both.nbytes <= _REMEMBERED_BYTES:
            self._in.clean[key] = both


def _matching(texts: pa.Array, shape: str) -> Ints:
    """The places of texts that match a shape; none if it is empty."""
    if not shape or not len(texts):
        return np.empty(0, np.int64)
    return np.flatnonzero(_bools(pc.match_substring_regex(texts, shape)))


def _bools(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)


def _flags(size: int, chosen: Ints) -> NDArray[np.bool_]:
    flags = np.zeros(size, np.bool_)
    flags[chosen] = True
    return flags


def _first(tags: NDArray[np.uint64]) -> Ints:
    """The places of the smallest tags."""
    return np.argpartition(tags, SAMPLE)[:SAMPLE] if len(tags) > SAMPLE else np.arange(len(tags))


__all__ = [
    "BINARY",
    "CANARY",
    "PSEUDONYM",
    "Chance",
    "ColumnRule",
    "Finding",
    "InspectionPlan",
    "InspectionResult",
    "Inspector",
    "inspect_batch",
    "inspector",
    "tolerable_kinds",
]
