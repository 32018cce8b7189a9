"""What the provisioner does for authentication: it checks passwords and counts all workers' failures.

Every attempt asks it, so it is where guesses can be counted for the whole gateway; and the SCRAM exchange
ends here, so that no worker ever holds a verifier: a worker passes messages on, and learns salt and
iterations, which any client is told, and whether a proof was right. Operations:

    scram-first  {name, address, mechanism, message, end_point}  -> {attempt, message}, or {refused}
    scram-final  {attempt, message}                              -> {message}, or {refused}: the reason
    attempt      {name, address}       -> {attempt}     another proof than a password is about to be checked
    attempted    {attempt, outcome}    -> {}            `failed`, `succeeded` or `abandoned`

`scram-first` and `attempt` answer {throttled, first} if nothing may be tried at present, and {busy} if as
many attempts are in flight as may be: ask again in a moment. Messages are in base64; `end_point` is what the
worker's certificate is bound by, "" without TLS; `name` is null where nobody's secret is being guessed.

The same work is done for a name that is not known as for one that is: a verifier is read from a file
(somebody else's, and not used) and a mock is made (for a known name not used). Reading has a thread of its
own: a password never waits for anything else that the process does.
"""

from __future__ import annotations

import asyncio
import binascii
import os
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.gateway.authentication_throttle import MOST_ATTEMPTS, Busy, Refusal, Throttle
from ringfort.gateway.verifiers import load_verifier
from ringfort.pgwire.errors import AuthenticationFailedError
from ringfort.pgwire.scram import ScramServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ringfort.config import AuthenticationConfig
    from ringfort.ledger.folds import ControlState
    from ringfort.pgwire.scram import Verifier

OUTCOMES = frozenset({"failed", "succeeded", "abandoned"})
_LONGEST = 4_096  # of a message or binding, in base64
_NONCE_BYTES = 18


class Desk:
    """Passwords and failures of one gateway. `state`: the control state."""

    def __init__(
        self,
        verifiers: Path,
        mock_key: bytes,
        settings: AuthenticationConfig,
        state: Callable[[], ControlState],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifiers = verifiers
        self._mock_key = mock_key
        self._state = state
        self._throttle = Throttle(settings, clock)
        self._exchanges: OrderedDict[int, ScramServer] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verify")

    async def asked(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one of the `OPERATIONS`."""
        if op == "scram-first":
            return await self._first(request)
        if op == "scram-final":
            return self._final(request)
        if op == "attempt":
            return self._begin(request)
        return self._attempted(request)

    def _begin(self, request: dict[str, Any]) -> dict[str, Any]:
        name, address = request.get("name"), request.get("address")
        if not isinstance(name, str | None) or not isinstance(address, str):
            raise UsageError("`name` and `address` must be texts")
        attempt = self._throttle.begin(name, address)
        if isinstance(attempt, Refusal):
            return {"throttled": True, "first": attempt.first}
        if isinstance(attempt, Busy):
            return {"busy": True}
        return {"attempt": attempt}

    async def _first(self, request: dict[str, Any]) -> dict[str, Any]:
        name, mechanism = request.get("name"), request.get("mechanism")
        if not isinstance(name, str) or not isinstance(mechanism, str):
            raise UsageError("`name` and `mechanism` must be texts")
        message, end_point = _bytes(request, "message"), _bytes(request, "end_point")
        begun = self._begin(request)
        number = begun.get("attempt")
        if number is None:
            return begun
        principals = self._state().principals
        decoy = next((each for each in principals if each != name), "")
        loop = asyncio.get_running_loop()
        try:
            verifier = await loop.run_in_executor(self._thread, self._load, name, name in principals, decoy)
            exchange = ScramServer(
                verifier, b64encode(os.urandom(_NONCE_BYTES)).decode(), end_point=end_point
            )
            answer = exchange.first(message, mechanism)
        except AuthenticationFailedError as error:
            self._throttle.end(number, "failed")
            return {"refused": error.reason}
        except BaseException:
            self._throttle.end(number, "abandoned")
            raise
        self._exchanges[number] = exchange
        while len(self._exchanges) > MOST_ATTEMPTS:
            self._exchanges.popitem(last=False)
        return {"attempt": number, "message": b64encode(answer).decode()}

    def _final(self, request: dict[str, Any]) -> dict[str, Any]:
        number, message = _number(request), _bytes(request, "message")
        exchange = self._exchanges.pop(number, None)
        if exchange is None or not self._throttle.open(number):
            return {"refused": "the attempt was given up"}
        try:
            answer = exchange.final(message)
        except AuthenticationFailedError as error:
            self._throttle.end(number, "failed")
            return {"refused": error.reason}
        self._throttle.end(number, "succeeded")
        return {"message": b64encode(answer).decode()}

    def _load(self, name: str, known: bool, decoy: str) -> Verifier:  # noqa: FBT001 - called through a thread
        return load_verifier(self._verifiers, name, self._mock_key, known=known, decoy=decoy)

    def _attempted(self, request: dict[str, Any]) -> dict[str, Any]:
        number, outcome = _number(request), request.get("outcome")
        if not isinstance(outcome, str) or outcome not in OUTCOMES:
            raise UsageError("`outcome` must be a known word")
        self._exchanges.pop(number, None)
        self._throttle.end(number, outcome)
        return {}

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


OPERATIONS = frozenset({"scram-first", "scram-final", "attempt", "attempted"})


def _number(request: dict[str, Any]) -> int:
    number = request.get("attempt")
    if not isinstance(number, int) or isinstance(number, bool):
        raise UsageError("`attempt` must be a number")
    return number


def _bytes(request: dict[str, Any], name: str) -> bytes:
    text = request.get(name)
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise UsageError(f"`{name}` must be a text in base64")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"`{name}` must be a text in base64") from None


__all__ = ["OPERATIONS", "Desk"]
