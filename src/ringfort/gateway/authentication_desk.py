"""What the provisioner does for authentication: it knows the verifiers and counts all workers' failures.

Every attempt asks it for a verifier, so it is where guesses can be counted for the whole gateway. Operations:

    verifier   {name, address}       -> {attempt, iterations, salt, stored_key, server_key}, mocked for names
                                        that are not known; or {throttled, first}
    attempted  {attempt, outcome}    -> {}    `failed`, `succeeded` or `abandoned`

The same work is done for a name that is not known as for one that is: a verifier is read from a file
(somebody else's, and not used) and a mock is made (for a known name not used).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.gateway.authentication_throttle import Refusal, Throttle
from ringfort.gateway.verifiers import load_verifier, verifier_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ringfort.config import AuthenticationConfig
    from ringfort.ledger.folds import ControlState
    from ringfort.pgwire.scram import Verifier

    InThread = Callable[..., Awaitable[Verifier]]

OUTCOMES = frozenset({"failed", "succeeded", "abandoned"})


class Desk:
    """Verifiers and failures of one gateway. `state`: the control state; `in_thread` runs what blocks."""

    def __init__(
        self,
        verifiers: Path,
        mock_key: bytes,
        settings: AuthenticationConfig,
        state: Callable[[], ControlState],
        in_thread: InThread,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifiers = verifiers
        self._mock_key = mock_key
        self._state = state
        self._in_thread = in_thread
        self._throttle = Throttle(settings, clock)

    async def verifier(self, request: dict[str, Any]) -> dict[str, Any]:
        """The verifier for an attempt, if one may be made."""
        name, address = request.get("name"), request.get("address", "")
        if not isinstance(name, str) or not isinstance(address, str):
            raise UsageError("`name` and `address` must be texts")
        attempt = self._throttle.begin(name, address)
        if isinstance(attempt, Refusal):
            return {"throttled": True, "first": attempt.first}
        principals = self._state().principals
        decoy = next((each for each in principals if each != name), "")
        verifier = await self._in_thread(self._load, name, name in principals, decoy)
        return {"attempt": attempt, **verifier_fields(verifier)}

    def _load(self, name: str, known: bool, decoy: str) -> Verifier:  # noqa: FBT001 - called through a thread
        return load_verifier(self._verifiers, name, self._mock_key, known=known, decoy=decoy)

    def attempted(self, request: dict[str, Any]) -> dict[str, Any]:
        """How an attempt went."""
        attempt, outcome = request.get("attempt"), request.get("outcome")
        if not isinstance(attempt, int) or outcome not in OUTCOMES:
            raise UsageError("`attempt` must be a number, `outcome` a known word")
        self._throttle.end(attempt, str(outcome))
        return {}


__all__ = ["Desk"]
