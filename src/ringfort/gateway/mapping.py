"""Keeps the mapping tables of one database full: every key gets its pseudonym within seconds.

What is new is found cheaply, for each base column by itself:

1. One `pg_current_snapshot()` for each round: if it has not moved, nothing was committed, and that was all.
2. For whole-number keys with an index: the keys above the largest known one, through that index.
3. A full anti-join of base column and mapping table: at once if the table's counters (`pg_stat_*`) or its
   file (`relfilenode`) changed or the last one was quick, but never for more than a quarter of the time.

Keys that no base row has any longer are removed from the table, too (erasure would be idle otherwise). The
tables are UNLOGGED: after a crash of the server they are empty, and everything is filled anew.

One thread looks at what is filled, round by round, and does only what is quick. First fills, slow anti-joins
and pruning are jobs of lanes: the quick ones give a column up after `QUICK_FILL_SECONDS`, and it goes on in a
long one, so a column that takes minutes, or never ends, holds up no other. A fault costs the column that has
it: it is tried again after a pause that doubles, and `faults` names it.

Invariants: the lock guards what is known, for moments, and never while a database is asked, so `add`,
`waiting` and `faults` answer at once; one filler per database (an advisory lock); one lane at a time is at a
column; no error text of the server is passed on, because it may echo a key. DESIGN section 5.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg

from ringfort.gateway.mapping_copy import MappingCodec
from ringfort.gateway.mapping_fill import Lane, Map, Source
from ringfort.gateway.mapping_state import fault_words
from ringfort.gateway.mapping_told import Told
from ringfort.privacy.epoch_keys import derive_key, key_id
from ringfort.privacy.pseudonym import Pseudonymiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ringfort.disclosure.profile import MapPlan
    from ringfort.privacy.epoch_keys import EpochSecret
    from ringfort.privacy.pseudonym import Domain

    Connection = psycopg.Connection[tuple[Any, ...]]

LOG = logging.getLogger(__name__)
FILLER_LOCK = 0x52464D41  # "RFMA"
QUICK_SECONDS = 0.2
REST = 3.0  # a full anti-join is followed by this many times its duration without one
SAFETY_SECONDS = 60.0
PRUNE_SECONDS = 30.0
LOOK_SECONDS = 10.0
QUICK_FILL_SECONDS = 20.0
LONG_FILL_SECONDS = 7_200.0
LANES = 2  # of each sort

_Job = tuple[Map, Source | None]


class MappingFiller(Told):
    """The filler of one database. `connect` gives administrative connections, `secret` a domain's secret.

    Thread-safe. `changed` is called, from any thread, when something got ready or has a fault.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        secret: Callable[[Domain], EpochSecret],
        *,
        name: str = "",
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._connect = connect
        self._secret = secret
        self._name = name
        self._on_change = changed
        self._news = threading.Condition(self._lock)
        self._looking = threading.RLock()
        self._look_lane = Lane(connect, LOOK_SECONDS)
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        self._jobs: deque[_Job] = deque()
        self._stop = threading.Event()
        self._holds = False

    # -- what is known -------------------------------------------------------------------------------

    def add(self, domain: Domain, plans: Iterable[MapPlan], *, ahead: bool = False) -> None:
        """Take over mapping tables of a domain; known ones stay as they are. Waits for nothing.

        What nobody waits for is added `ahead`: lanes take it when there is nothing else.
        """
        wanted = []
        for each in plans:
            known = self._maps.get(each.id)
            if known is None:
                wanted.append(each)
            elif not ahead:
                known.ahead = False
        if not wanted:
            return
        secret = self._secret(domain)
        for plan in wanted:
            key = derive_key(secret, domain, plan.identity_space, plan.pseudonym_type)
            codec = MappingCodec(plan.storage_type, Pseudonymiser(key, plan.pseudonym_type))
            made = Map(plan, domain, key_id(secret, domain), codec, [Source(each) for each in plan.sources])
            made.ahead = ahead
            with self._lock:
                kept = self._maps.setdefault(plan.id, made)
                self._enqueue(kept)

    def keep(self, usable: Callable[[Domain, str], bool]) -> None:
        """Let go of mapping tables whose epoch is not usable any more, and of their keys."""
        with self._lock:
            gone = [key for key, kept in self._maps.items() if not usable(kept.domain, kept.key)]
        self.forget(gone)

    def forget(self, ids: Iterable[str]) -> None:
        """Let mapping tables go: they are dropped. A lane that is at one stops."""
        with self._lock:
            gone = [kept for each in ids if (kept := self._maps.pop(each, None)) is not None]
            for kept in gone:
                kept.alive = False
        for lane in (self._look_lane, *self._lanes):
            if lane.at is not None and not lane.at.alive:
                lane.cancel()
        if gone:
            self._tell()

    def suspect(self) -> None:
        """The server may have crashed: nothing counts as filled until it was looked at."""
        with self._lock:
            for kept in self._maps.values():
                kept.suspect = True

    # -- work ----------------------------------------------------------------------------------------

    def ensure(self, ids: Iterable[str]) -> None:
        """Return when each of these has been filled once; raises the database's error if one cannot be.

        Without `run` in another thread it fills them itself.
        """
        wanted = [kept for each in ids if (kept := self._maps.get(each)) is not None]
        if not self._threads:
            with self._looking:
                self._hold()
                for kept in wanted:
                    for source in kept.sources:
                        if not source.full and self._claim(kept, source):
                            self._work(self._look_lane, kept, source, raising=True)
            return
        with self._news:
            self._news.wait_for(
                lambda: (
                    self._stop.is_set()
                    or all(
                        not kept.alive
                        or (not kept.suspect and all(s.full or s.progress.fault for s in kept.sources))
                        for kept in wanted
                    )
                )
            )

    def round(self) -> int:
        """Look at everything once; gives the number of keys added."""
        with self._looking:
            try:
                return self._round()
            except psycopg.Error:
                self._broken(self._look_lane)
                raise

    def _round(self) -> int:
        lane = self._look_lane
        if not self._hold():
            return 0
        snapshot = lane.snapshot()
        self._restore(lane)
        added = 0
        for kept in list(self._maps.values()):
            for source in kept.sources:
                if self._claim(kept, source):
                    added += self._work(lane, kept, source, snapshot=snapshot)
            if kept.to_prune and time.monotonic() >= max(kept.pruned + PRUNE_SECONDS, kept.prune_due):
                if self._threads:
                    with self._lock:
                        self._put((kept, None))
                elif not kept.pruning:
                    self._prune(lane, kept)
        return added

    def run(self, stop: threading.Event, seconds: float = 1.0) -> None:
        """`round` every so many seconds until `stop`, with lanes beside it."""
        self._stop = stop
        for number in range(2 * LANES):
            lane = Lane(self._connect, LONG_FILL_SECONDS if number < LANES else QUICK_FILL_SECONDS)
            self._lanes.append(lane)
            thread = threading.Thread(
                target=self._serve, args=(lane, number < LANES), name=f"fill-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        said = ""
        while not stop.is_set():
            try:
                self.round()
                said = ""
            except psycopg.Error as error:
                problem = fault_words(error.sqlstate)
                if problem != said:
                    said = problem
                    LOG.warning(
                        "mapping tables of %s are not followed: %s", self._name, problem,
                        extra={"event": "fills-stopped", "session": None},
                    )  # fmt: skip
            stop.wait(seconds)
        with self._news:
            self._news.notify_all()
        for lane in self._lanes:
            lane.cancel()
        for thread in self._threads:
            thread.join(5)
        self.close()

    def close(self) -> None:
        """Close the connections; what is filled is looked at anew when they are opened again."""
        for lane in (self._look_lane, *self._lanes):
            lane.close()
        self._holds = False
        self.suspect()

    def _serve(self, lane: Lane, long: bool) -> None:  # noqa: FBT001 - a thread's arguments
        """A lane's thread: take a job, do it."""
        while not self._stop.is_set():
            job = self._take(long=long)
            if job is None:
                lane.close()
                continue
            kept, source = job
            if source is None:
                self._prune(lane, kept)
            else:
                self._work(lane, kept, source)

    def _take(self, *, long: bool) -> _Job | None:
        """The next job for a lane; a job is claimed. None if there was none for a while."""
        with self._news:
            for _ in range(2):
                for job in sorted(self._jobs, key=lambda each: each[0].ahead):  # stable: else as they came
                    kept, source = job
                    if not kept.alive or not self._holds:
                        self._jobs.remove(job)
                        if source is not None:
                            source.queued = False
                    elif (source is None or source.long) == long and not self._occupied(kept, source):
                        self._jobs.remove(job)
                        if source is None:
                            kept.pruning = True
                        else:
                            source.queued, source.busy = False, True
                        return job
                if self._stop.is_set():
                    return None
                self._news.wait(30)
        return None

    @staticmethod
    def _occupied(kept: Map, source: Source | None) -> bool:
        return kept.alone or (kept.pruning if source is None else source.busy)

    def _claim(self, kept: Map, source: Source) -> bool:
        """Whether the caller is the one at this column now."""
        with self._lock:
            if not kept.alive or kept.suspect or kept.alone or source.busy or source.queued:
                return False
            if source.progress.due > time.monotonic():
                return False
            source.busy = True
            return True

    def _put(self, job: _Job) -> None:
        """Queue a job; with the lock."""
        if job not in self._jobs:
            if job[1] is not None:
                job[1].queued = True
            self._jobs.append(job)
            self._news.notify_all()

    def _enqueue(self, kept: Map) -> None:
        if self._threads and self._holds:
            for source in kept.sources:
                if not (source.full or source.busy or source.queued):
                    self._put((kept, source))

    def _work(
        self, lane: Lane, kept: Map, source: Source, *, snapshot: str = "", raising: bool = False
    ) -> int:
        """Look at a claimed column (with `snapshot`), or fill it; a fault is noted, not raised."""
        lane.at = kept
        was = source.full
        again = False
        try:
            if not kept.alive:
                return 0
            if snapshot:
                added, again = self._look(lane, kept, source, snapshot)
            else:
                added = self._fill_all(lane, kept, source)
        except psycopg.Error as error:
            lost = lane.lost
            self._failed(lane, kept, source, error)
            if raising or (lost and lane is self._look_lane):
                raise
            return 0
        finally:
            lane.at = None
            with self._news:
                source.busy = False
                if again or (source.long and not source.full and not source.progress.fault):
                    self._put((kept, source))
                self._news.notify_all()
            if source.full != was:
                self._tell()
        return added

    def _look(self, lane: Lane, kept: Map, source: Source, snapshot: str) -> tuple[int, bool]:
        """What is new in a column: keys added, and whether a lane should look at all of it."""
        aside = bool(self._threads)
        if not source.full:
            return (0, True) if aside else (self._fill_all(lane, kept, source), False)
        moved = snapshot != source.snapshot
        if not moved and not source.pending:
            return 0, False
        source.snapshot = snapshot
        counters = lane.counters(source)
        changed = (counters[0], counters[2]) != source.counters
        if (counters[1], counters[2]) != source.deleted:
            source.deleted = (counters[1], counters[2])
            kept.to_prune = True
        source.pending = True
        rest = time.monotonic() - source.ended
        quick = source.seconds < QUICK_SECONDS
        if rest >= REST * source.seconds and (changed or quick or rest > SAFETY_SECONDS):
            if aside and not quick:
                return 0, True
            return self._fill_all(lane, kept, source), False
        if not moved:
            return 0, False
        added = lane.fill(kept, source, tail=True, alone=lambda: False)
        source.progress.finish()
        return added, False

    def _fill_all(self, lane: Lane, kept: Map, source: Source) -> int:
        """A full anti-join; what commits from here on moves the counters or the snapshot once more."""
        counters = lane.counters(source)
        source.counters = (counters[0], counters[2])
        if not source.full:
            source.deleted = (counters[1], counters[2])
            kept.to_prune = True
        source.snapshot = lane.snapshot()
        source.pending = False
        started = time.monotonic()
        first = not source.full
        with self._alone(kept, source) as alone:
            try:
                added = lane.fill(kept, source, tail=False, alone=alone)
            except BaseException:
                source.pending = True
                raise
        source.ended = time.monotonic()
        source.seconds = source.ended - started if not added else min(source.seconds, 1.0)
        source.progress.finish()
        source.long = False
        if first and source.ended - started > 1:
            LOG.info(
                "pseudonyms of %s.%s are ready", source.source.schema, source.source.table,
                extra={"event": "filled", "session": None},
            )  # fmt: skip
        return added

    @contextlib.contextmanager
    def _alone(self, kept: Map, source: Source) -> Iterator[Callable[[], bool]]:
        """Gives who asks the mapping table for itself, if nobody else is at it."""

        def ask() -> bool:
            with self._lock:
                if kept.pruning or any(each.busy for each in kept.sources if each is not source):
                    return False
                kept.alone = True
                return True

        try:
            yield ask
        finally:
            with self._news:
                kept.alone = False
                self._news.notify_all()

    def _prune(self, lane: Lane, kept: Map) -> None:
        kept.pruning, kept.pruned = True, time.monotonic()
        lane.at = kept
        try:
            if kept.alive:
                lane.prune(kept)
                kept.to_prune, kept.prune_fault = False, ""
        except psycopg.Error as error:
            self._broken(lane)
            kept.prune_due = time.monotonic() + PRUNE_SECONDS
            words = fault_words(error.sqlstate)
            if kept.alive and words != kept.prune_fault:
                kept.prune_fault = words
                LOG.warning(
                    "erased keys stay in a mapping table of %s for now: %s", self._name, words,
                    extra={"event": "prune-failed", "session": None},
                )  # fmt: skip
        finally:
            lane.at = None
            kept.pruning = False

    # -- faults --------------------------------------------------------------------------------------

    def _failed(self, lane: Lane, kept: Map, source: Source, error: psycopg.Error) -> None:
        lost = lane.lost
        self._broken(lane)
        if lost or not kept.alive or self._stop.is_set():
            return  # no fault of the column
        if error.sqlstate == "57014" and not source.full and not source.long and self._threads:
            source.long = True  # too much for a quick lane; it goes on in a long one
            return
        words = fault_words(error.sqlstate)
        if source.progress.fail(words, time.monotonic(), time.time()):
            LOG.warning(
                "pseudonyms of %s.%s in %s wait: %s", source.source.schema, source.source.table, self._name,
                words, extra={"event": "fill-failed", "session": None},
            )  # fmt: skip
            self._tell()

    def _broken(self, lane: Lane) -> None:
        """After an error a lane may need new connections; a lost server may have lost the tables."""
        if lane.lost:
            lane.close()
            self.suspect()
        if not lane.tidy() and lane is self._look_lane:
            self._holds = False

    def _restore(self, lane: Lane) -> None:
        """After a loss: what is still in a mapping table was filled; an empty one is filled anew."""
        for kept in [each for each in self._maps.values() if each.suspect]:
            try:
                lost = lane.empty(kept)
            except psycopg.Error:
                if lane.lost:
                    raise
                lost = True  # the next look at its columns says what is wrong
            with self._news:
                for source in kept.sources:
                    source.pending = True
                    if lost:
                        source.progress.lose()
                kept.suspect = False
                if lost:
                    kept.rows = kept.analyzed = 0
                self._enqueue(kept)
                self._news.notify_all()
            self._tell()

    def _hold(self) -> bool:
        """Whether this filler is the database's; another process may have been it until now."""
        if not self._holds:
            row = (
                self._look_lane.writer().execute("SELECT pg_try_advisory_lock(%s)", (FILLER_LOCK,)).fetchone()
            )
            self._holds = row == (True,)
            if self._holds:
                self.suspect()
                self._restore(self._look_lane)
        return self._holds

    def _tell(self) -> None:
        self._on_change()


__all__ = ["MappingFiller"]
