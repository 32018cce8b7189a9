"""Site connections that outlive a session, for the next session of the same principal and profile.

A connection is kept only if its state is **provably clean**, which is:

- *when the session ended*: its client closed or went away with no answer owed, no byte of a message
  outstanding in either direction, every statement's record durable, no transaction open (ReadyForQuery said
  `I` last), nothing skipped until a Sync, and no cancel request ever sent for it (one that is late would hit
  the next session). A session that was ended by anybody else, or by an error, ends its backend as ever.
- *then*: a Sync was answered with `I`, `DISCARD ALL` succeeded, and no parameter that the site reports has
  another value than when the connection was new. That ends prepared statements, cursors, settings, temporary
  tables, sequences' values, advisory locks and LISTEN.
- *before the next session has it*: the server itself says that there is no prepared statement, cursor,
  listened channel, advisory lock, temporary schema or changed setting, and who the user is (`_CHECK`).

Whatever differs, fails, is late or comes unasked ends the connection, and a new one is made. A connection is
used again only for an equal target (so the same profile, password and address), the same principal and the
same startup parameters, which are what RESET goes back to. Only roles of profiles are pooled: they cannot
write, and what they can set is on a list; operate sessions are always one to one. The pool is bounded in
number and idle time, and emptied whenever anything changes that decisions stand on.

Left out: sharing between principals, and between workers.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ringfort.gateway.conversation import ConnectionGoneError, Conversation
from ringfort.gateway.site_connection import SiteError, SiteSession
from ringfort.pgwire import backend
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.frontend import Query, Sync, serialise_frontend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ringfort.gateway.site_connection import SiteConnector, SiteTarget

CLEAN_SECONDS = 2.0
PROFILE_ROLE = "rf_"
_KINDS = b"CDTZSENA"
_DISCARD = serialise_frontend(Sync()) + serialise_frontend(Query(b"DISCARD ALL"))
_CHECK = serialise_frontend(
    Query(
        b"SELECT (SELECT count(*) FROM pg_catalog.pg_prepared_statements)"
        b" + (SELECT count(*) FROM pg_catalog.pg_cursors WHERE name <> '')"
        b" + (SELECT count(*) FROM pg_catalog.pg_listening_channels())"
        b" + (SELECT count(*) FROM pg_catalog.pg_locks"
        b" WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'advisory')"
        b" + (SELECT count(*) FROM pg_catalog.pg_settings WHERE source = 'session')"
        b" + (CASE WHEN pg_catalog.pg_my_temp_schema() = 0 THEN 0 ELSE 1 END),"
        b" current_user, session_user"
    )
)

_Key = tuple[object, ...]


class _NotCleanError(Exception):
    """The connection is not to be used again."""


class _Kept:
    """A clean connection; `until` is when it has been idle for too long."""

    __slots__ = ("site", "until")

    def __init__(self, site: SiteSession, until: float) -> None:
        self.site = site
        self.until = until


class SitePool:
    """Connections to sites, new or used; at most `most` that nobody uses, each for `seconds` at most."""

    def __init__(self, connector: SiteConnector, most: int = 0, seconds: float = 60.0) -> None:
        self._connector = connector
        self._most = most
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._kept: dict[_Key, list[_Kept]] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._epoch = 0

    async def connect(self, target: SiteTarget, settings: Mapping[str, str], principal: str) -> SiteSession:
        """A connection that is ready for its first statement; raises `SiteError`."""
        key: _Key = (target, principal, tuple(sorted(settings.items())))
        while (kept := self._take(key)) is not None:
            role = target.role.encode()
            if await self._clean(kept, _CHECK, 1, [[b"0", role, role]]):
                return kept
        try:
            site = await self._connector.connect(target, settings)
        except SiteError as error:
            if not error.sqlstate.startswith("53") or not self._number:
                raise
            self.empty()  # perhaps it is we who hold the site's last connections
            await asyncio.sleep(0)
            site = await self._connector.connect(target, settings)
        site.pool_key = key
        return site

    async def cancel(self, target: SiteTarget, key: backend.BackendKeyData) -> None:
        """As `SiteConnector.cancel`."""
        await self._connector.cancel(target, key)

    def keep(self, site: SiteSession, transport: asyncio.Transport) -> bool:
        """Take the transport of a session that ended cleanly; false if it is not wanted.

        If true, the transport is the pool's. It is offered again once the server has said that it is clean.
        """
        if (
            not site.pool_key
            or self._number + len(self._tasks) >= self._most
            or not site.target.role.startswith(PROFILE_ROLE)
            or transport.is_closing()
        ):
            return False
        conversation = Conversation(_KINDS)
        conversation.connection_made(transport)
        transport.set_protocol(conversation)
        again = SiteSession(conversation, site.target, site.key, dict(site.parameters), site.pool_key)
        task = asyncio.ensure_future(self._discard(again))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _discard(self, site: SiteSession) -> None:
        epoch = self._epoch
        if not await self._clean(site, _DISCARD, 2, []) or epoch != self._epoch:
            site.conversation.abort()
            return
        if site.conversation.transport is not None and not site.conversation.transport.is_closing():
            site.conversation.transport.resume_reading()  # to hear of its end
            self._kept.setdefault(site.pool_key, []).append(_Kept(site, self._loop.time() + self._seconds))
            self._number += 1

    def _take(self, key: _Key) -> SiteSession | None:
        kept = self._kept.get(key)
        if not kept:
            return None
        self._number -= 1
        site = kept.pop().site
        if not kept:
            del self._kept[key]
        return site

    async def _clean(self, site: SiteSession, words: bytes, answers: int, rows: list[list[bytes]]) -> bool:
        """Whether the server gives `answers` answers to `words`, with just these rows, and is idle."""
        try:
            async with asyncio.timeout(CLEAN_SECONDS):
                await _ask(site, words, answers, rows)
        except (_NotCleanError, ConnectionGoneError, ProtocolViolationError, TimeoutError):
            site.conversation.abort()
            return False
        return True

    def sweep(self) -> None:
        """End what has been idle for too long, or has gone; call it every now and then."""
        now = self._loop.time()
        for key, kept in list(self._kept.items()):
            left = [each for each in kept if each.until > now and _waits(each.site)]
            for each in kept:
                if each not in left:
                    self._number -= 1
                    each.site.conversation.abort()
            if left:
                self._kept[key] = left
            else:
                del self._kept[key]

    def empty(self) -> None:
        """End everything that nobody uses, and what is just being cleaned."""
        self._epoch += 1
        for kept in self._kept.values():
            for each in kept:
                each.site.conversation.abort()
        self._kept.clear()
        self._number = 0

    def retire(self) -> None:
        """End everything, and keep nothing from now on."""
        self._most = 0
        self.empty()

    async def close(self) -> None:
        """End everything, and wait for it."""
        self.retire()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.empty()


def _waits(site: SiteSession) -> bool:
    """Whether nothing came unasked and the connection is there."""
    return not site.conversation.lost and not site.conversation.unread


async def _ask(site: SiteSession, words: bytes, answers: int, rows: list[list[bytes]]) -> None:
    """Send `words` and read their whole answer; raises `_NotCleanError` if it is anything but that."""
    conversation = site.conversation
    if not _waits(site):
        raise _NotCleanError
    parameters = dict(site.parameters)
    found: list[list[bytes | None]] = []
    conversation.write(words)
    while answers:
        answer = backend.parse_backend(*await conversation.message())
        if isinstance(answer, backend.ReadyForQuery):
            if answer.status != b"I":
                raise _NotCleanError
            answers -= 1
        elif isinstance(answer, backend.DataRow):
            found.append(list(answer.values))
        elif isinstance(answer, backend.ParameterStatus):
            parameters[answer.name] = answer.value
        elif not isinstance(answer, backend.RowDescription | backend.CommandComplete):
            raise _NotCleanError
    if parameters != site.parameters or found != rows or conversation.unread:
        raise _NotCleanError


__all__ = ["SitePool"]
