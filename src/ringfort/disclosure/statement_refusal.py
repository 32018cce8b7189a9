"""What the allow-list raises."""

from __future__ import annotations

from ringfort.disclosure.statement_rules import UNSUPPORTED
from ringfort.errors import RingfortError


class StatementRefusedError(RingfortError):
    """A statement is outside of the allow-list.

    `message` holds no word of the client's but catalogued names; `hint` may quote the client.
    """

    default_sqlstate = "42501"  # insufficient_privilege


def unsupported(what: str) -> StatementRefusedError:
    """A refusal of `NodeType` or `NodeType.field`, in words of its own if people will try that."""
    special = UNSUPPORTED.get(what)
    if special is not None:
        return StatementRefusedError(special[0], hint=special[1], sqlstate="0A000")
    return StatementRefusedError(
        f"a part of the grammar that is not on the list ({what})",
        hint="leave it out of the statement",
        sqlstate="0A000",
    )


__all__ = ["StatementRefusedError", "unsupported"]
