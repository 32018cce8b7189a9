"""What of a server's ParameterStatus messages reaches the client: four names; and two that must not change.

Other settings may tell what a client should not know (the server's version is stated by the gateway). A
change of encoding or of how string literals are read would make the parser and the server disagree about the
same text: that ends the session (compare CVE-2025-12819).
"""

from __future__ import annotations

from ringfort.pgwire.backend import ParameterStatus, serialise_backend
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.fields import FieldReader

_PASSED = frozenset({b"client_encoding", b"DateStyle", b"IntervalStyle", b"TimeZone"})
_GUARDED = {b"client_encoding": b"UTF8", b"standard_conforming_strings": b"on"}


def pass_status(body: bytes) -> bytes:
    """The framed ParameterStatus that is passed on, or nothing.

    Raises `ProtocolViolationError` if it is malformed or tells of a change that must not be.
    """
    reader = FieldReader(body)
    name, value = reader.string(), reader.string()
    reader.finish()
    if _GUARDED.get(name, value) != value:
        raise ProtocolViolationError("a setting changed that decides how SQL is read")
    return serialise_backend(ParameterStatus(name, value)) if name in _PASSED else b""


__all__ = ["pass_status"]
