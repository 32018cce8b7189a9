"""What the protocol core raises. Nothing else escapes it, whatever bytes come in."""

from __future__ import annotations

from ringfort.errors import RingfortError


class ProtocolViolationError(RingfortError):
    """The peer sent bytes that protocol 3.0 does not allow here; the session ends, nothing is passed on."""

    default_sqlstate = "08P01"  # protocol_violation


class StartupRefusedError(RingfortError):
    """A startup packet asks for something that is not offered; the client is told and the connection ends."""

    default_sqlstate = "0A000"  # feature_not_supported


class AuthenticationFailedError(RingfortError):
    """The password proof was wrong or the SASL exchange malformed. One message for every cause.

    `reason` is for the record only (`wrong proof`, `malformed message`), never for the client; `evidence` is
    what was tried, for the evidence store only.
    """

    default_sqlstate = "28P01"  # invalid_password

    def __init__(self, reason: str, evidence: dict[str, str] | None = None) -> None:
        super().__init__("password authentication failed", hint="check the user name and the password")
        self.reason = reason
        self.evidence = evidence or {}


__all__ = ["AuthenticationFailedError", "ProtocolViolationError", "StartupRefusedError"]
