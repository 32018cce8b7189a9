"""What a client may hear of a fault that concerns administrators: plain words and a reference, never a name.

Schemas, tables, columns, roles and addresses are the organisation's own names; a client has not asked for
them. Errors of the three classes below are worded for clients; every other one is put into the log, whole,
under a reference, and the client gets the reference.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from ringfort.errors import RingfortError, UsageError
from ringfort.gateway.clock_watch import ClockContradictsError
from ringfort.gateway.provisioner_decision import NotDecidedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

LOG = logging.getLogger(__name__)
TELL_OPERATOR = "give the reference to the operator, who finds the reason with `ringfort logs`"
_OURS = frozenset({"XX000", "58000", "F0000"})


def new_reference() -> str:
    """A short name for one incident, which says nothing by itself."""
    return secrets.token_hex(4)


async def in_client_words(work: Awaitable[dict[str, object]], database: object) -> dict[str, object]:
    """The result of `work`; its error is one that a client may hear."""
    try:
        return await work
    except (NotDecidedError, UsageError, ClockContradictsError):
        raise
    except RingfortError as error:
        reference = new_reference()
        LOG.error(
            "incident %s: a session for database %s was not opened: %s (%s)",
            reference,
            database,
            error,
            error.hint,
            extra={"event": "session-not-opened"},
        )
        raise NotDecidedError(
            f"the session cannot be opened at present (reference {reference})",
            hint=TELL_OPERATOR,
            sqlstate="57P03" if error.sqlstate in _OURS else error.sqlstate,
        ) from None


__all__ = ["TELL_OPERATOR", "in_client_words", "new_reference"]
