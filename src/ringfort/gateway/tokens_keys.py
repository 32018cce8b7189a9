"""The keys that an issuer publishes, fetched over HTTPS or read from a file, kept and renewed.

They are fetched when a token needs them: at first, when they are older than `FRESH_SECONDS`, and when a token
names a key that is not among them (keys were rotated), but never more often than every `refetch_seconds`:
whoever sends tokens with made-up names cannot make us ask. Tokens that come meanwhile wait for the same
answer. If the issuer cannot be reached the keys that there are go on for `STALE_SECONDS`; then no token is
believed. A key that the issuer has withdrawn is thus used for `FRESH_SECONDS`, or `STALE_SECONDS` if the
issuer is down.

An answer has at most 256 KiB and comes within 5 seconds, or is none; redirects are not followed, proxies not
used, and the certificate is verified.
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
import sys
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

FRESH_SECONDS = 300.0
STALE_SECONDS = 3_600.0
FETCH_SECONDS = 5.0
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
        say: Callable[[str], object] = sys.stderr.write,
    ) -> None:
        self._rules = rules
        self._wall = wall
        self._clock = clock
        self._say = say
        self._keys: dict[str, PublishedKey] = {}
        self._fetched: float | None = None  # when the keys that there are came
        self._asked: float | None = None
        self._lock = asyncio.Lock()

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
        if name not in self._keys or self._age() > FRESH_SECONDS:
            async with self._lock:
                if name not in self._keys or self._age() > FRESH_SECONDS:
                    await self._renew()
        if self._age() > STALE_SECONDS:
            raise KeysUnavailableError(
                "tokens cannot be checked at present", hint="try again in a moment, or tell the operator"
            )
        return self._keys.get(name)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    async def _renew(self) -> None:
        now = self._clock()
        if self._asked is not None and now - self._asked < self._rules.refetch_seconds:
            return
        self._asked = now
        try:
            content = await asyncio.wait_for(asyncio.to_thread(fetch_keys, self._rules), 2 * FETCH_SECONDS)
            self._keys = read_keys(content)
            self._fetched = now
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            self._say(f"the issuer's keys cannot be had: {type(error).__name__}\n")


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
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
        with connection.getresponse() as answer:
            if answer.status != http.client.OK:
                raise ValueError("not an answer with keys")
            return _read(answer, deadline)
    finally:
        connection.close()


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
