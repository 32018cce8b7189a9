"""What the allow-list raises."""

from __future__ import annotations

from ringfort.errors import RingfortError


class StatementRefusedError(RingfortError):
    """A statement is outside of the allow-list.

    `message` holds no word of the client's but catalogued names; `hint` may quote the client.
    """

    default_sqlstate = "42501"  # insufficient_privilege


__all__ = ["StatementRefusedError"]
