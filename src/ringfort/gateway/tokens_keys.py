"""The keys that an issuer publishes, fetched over HTTPS or read from a file, kept and renewed.

They are fetched when a token needs them: at first, when they are older than `FRESH_SECONDS`, and when a token
names a key that is not among them (keys were rotated), but never more often than every `refetch_seconds`:
whoever sends tokens with made-up names cannot make us ask. After a failure they are asked for again within
`RETRY_SECONDS`, so that an issuer that has recovered is heard soon. Tokens that come meanwhile wait for the
same answer, those with a known key for `KNOWN_SECONDS` at most. If the issuer cannot be reached the keys that
there are go on for `STALE_SECONDS`; then no token is believed. A key that the issuer has withdrawn is thus
used for `FRESH_SECONDS`, or `STALE_SECONDS` if the issuer is down.

An answer has at most 256 KiB and comes within 5 seconds from the first word to the last byte, or is none;
redirects are not followed, proxies not used, and the certificate is verified.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import math
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ringfort.errors import RingfortError
from ringfort.gateway.tokens import TokenRefusedError, check_token, key_name, read_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.config import OidcConfig
    from ringfort.gateway.tokens import PublishedKey, Token

LOG = logging.getLogger(__name__)
FRESH_SECONDS = 300.0
STALE_SECONDS = 3_600.0
FETCH_SECONDS = 5.0
RETRY_SECONDS = 2.0
KNOWN_SECONDS = 2.0
MOST_STUCK = 4
_THREAD = "issuer-keys"
MOST_BYTES = 262_144


class KeysUnavailableError(RingfortError):
    """The issuer's keys cannot be had: nobody's fault who comes with a token."""

    default_sqlstate = "57P03"  # cannot_connect_now


class Tokens:
    """Checks tokens of one issuer. `wall` gives seconds since 1970, `clock` seconds that never go back."""

    def __init__(
        self,
        rules: OidcConfig,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._wall = wall
        self._clock = clock
        self._keys: dict[str, PublishedKey] = {}
        self._fetched: float | None = None  # when the keys that there are came
        self._next = -math.inf  # before that we do not ask again
        self._renewing: asyncio.Task[None] | None = None

    @property
    def says_country(self) -> bool:
        """Whether tokens are asked for the viewer's country."""
        return bool(self._rules.country_claim)

    async def check(self, token: str, subject: str) -> Token:
        """What a token says that must name `subject`.

        Raises `TokenRefusedError`, or `KeysUnavailableError` if there are no keys to check it with.
        """
        key = await self._key(key_name(token))
        if key is None:
            raise TokenRefusedError("unknown key")
        found = check_token(token, key, self._rules, self._wall())
        if found.subject != subject:
            raise TokenRefusedError("another principal")
        return found

    async def _key(self, name: str) -> PublishedKey | None:
        if (name not in self._keys or self._age() > FRESH_SECONDS) and (renewal := self._renewal()):
            # a key that is known goes on if the issuer is slow: what it says shows at the next token
            known = name in self._keys and self._age() <= STALE_SECONDS
            await asyncio.wait({renewal}, timeout=KNOWN_SECONDS if known else None)
        if self._age() > STALE_SECONDS:
            raise KeysUnavailableError(
                "tokens cannot be checked at present", hint="try again in a moment, or tell the operator"
            )
        return self._keys.get(name)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _renewal(self) -> asyncio.Task[None] | None:
        """The renewal that runs, or a new one if it is time for one."""
        if self._renewing is None or self._renewing.done():
            if self._clock() < self._next:
                return None
            self._renewing = asyncio.ensure_future(self._renew())
        return self._renewing

    async def _renew(self) -> None:
        now = self._clock()
        self._next = now + self._rules.refetch_seconds
        try:
            content = await _in_thread(lambda: fetch_keys(self._rules))
            self._keys = read_keys(content)
            self._fetched = now
        except Exception as error:  # noqa: BLE001 - whatever an issuer answers, the keys that there are stay
            self._next = now + min(RETRY_SECONDS, self._rules.refetch_seconds)
            LOG.warning(
                "the issuer's keys cannot be had: %s",
                type(error).__name__,
                extra={"event": "issuer-keys-failed"},
            )


async def _in_thread(call: Callable[[], bytes]) -> bytes:
    """The result of a call in a thread of its own, soon after `FETCH_SECONDS` at most; else `TimeoutError`.

    A thread that is stuck (looking up a name cannot be interrupted) is left behind, and holds up nobody: at
    most `MOST_STUCK` of them.
    """
    if sum(each.name == _THREAD for each in threading.enumerate()) >= MOST_STUCK:
        raise TimeoutError
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def settle(content: bytes | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(content or b"")

    def run() -> None:
        content, failure = None, None
        try:
            content = call()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, content, failure)

    threading.Thread(target=run, name=_THREAD, daemon=True).start()
    return await asyncio.wait_for(answer, FETCH_SECONDS + 1)


def fetch_keys(rules: OidcConfig) -> bytes:
    """What the issuer publishes; raises OSError, ValueError or HTTPException."""
    if rules.jwks_file:
        with Path(rules.jwks_file).open("rb") as file:
            return _bounded(file.read(MOST_BYTES + 1))
    parts = urlsplit(rules.jwks_url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("not an HTTPS address")
    context = ssl.create_default_context(cafile=rules.jwks_ca or None)
    deadline = time.monotonic() + FETCH_SECONDS
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port or 443, timeout=FETCH_SECONDS, context=context
    )
    # each read has a limit of its own, so one byte now and then would go on for ever: this ends it
    watchdog = threading.Timer(FETCH_SECONDS, _cut, (connection,))
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.connect()
        if time.monotonic() > deadline:
            raise TimeoutError
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
        with connection.getresponse() as answer:
            if answer.status != http.client.OK:
                raise ValueError("not an answer with keys")
            return _read(answer, deadline)
    finally:
        watchdog.cancel()
        connection.close()


def _cut(connection: http.client.HTTPSConnection) -> None:
    """End whatever a thread waits for at this connection."""
    with contextlib.suppress(OSError, AttributeError):
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)  # beneath TLS, whose state is a thread's


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    content = b""
    while chunk := answer.read1(65_536):
        content = _bounded(content + chunk)
        if time.monotonic() > deadline:
            raise TimeoutError
    return content


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise ValueError("too long")
    return content


__all__ = ["KeysUnavailableError", "Tokens", "fetch_keys"]
