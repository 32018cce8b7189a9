"""Failed attempts to log in on record, at a bounded rate: what comes beyond is counted, the count recorded.

Anybody who can reach the gateway can fail, from as many addresses as there are. The first `BURST` failures
and then `PER_SECOND` go on record one by one, with who they said they were as evidence; of the rest one entry
for each `SUMMARY_SECONDS` says how many they were.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ringfort.gateway.recording import record_failed_authentication

if TYPE_CHECKING:
    from ringfort.gateway.recording import Ledger

BURST = 200
PER_SECOND = 5.0
SUMMARY_SECONDS = 60.0
LOG = logging.getLogger(__name__)


class FailureRecords:
    """The record of one worker's failed attempts."""

    def __init__(self, ledger: Ledger, actor: str) -> None:
        self._ledger = ledger
        self._actor = actor
        self._loop = asyncio.get_running_loop()
        self._room = float(BURST)
        self._looked = self._loop.time()
        self._left_out = 0
        self._summary: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def record(self, reason: str, facts: dict[str, str]) -> None:
        """Put a failure on record, durable when it returns, or count it."""
        now = self._loop.time()
        self._room = min(float(BURST), self._room + (now - self._looked) * PER_SECOND)
        self._looked = now
        if self._room >= 1:
            self._room -= 1
            await record_failed_authentication(self._ledger, self._actor, reason, facts)
            return
        self._left_out += 1
        if self._summary is None:
            LOG.warning("failed logins are counted, not recorded one by one", extra={"event": "failures"})
            self._summary = self._loop.call_later(SUMMARY_SECONDS, self._summarise)

    def _summarise(self) -> None:
        task = asyncio.ensure_future(self.close())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Record how many were left out until now."""
        if self._summary is not None:
            self._summary.cancel()
            self._summary = None
        count, self._left_out = self._left_out, 0
        if count:
            facts = {"count": str(count)}
            reason = f"{count} more, not recorded one by one"
            await record_failed_authentication(self._ledger, self._actor, reason, facts)


__all__ = ["FailureRecords"]
