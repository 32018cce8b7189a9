"""A session's views that cannot be read yet: a statement that names one waits a little, or is refused.

A session opens although pseudonyms of some of its views are being prepared, or a table could not be read; the
provisioner says which. Only statements that name one of those take this way, and only until the provisioner,
asked for them, says that they can be read: from then on the session is like any other. So the set only gets
smaller, and nothing that was prepared or bound has to be looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ringfort.disclosure.statements import Verdict
from ringfort.errors import RingfortError
from ringfort.gateway.mapping_state import SOON_SECONDS, Waiting, client_words, together
from ringfort.gateway.verdicts import Known
from ringfort.pgwire.backend import error_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.gateway.authentication import Provisioner

NOT_YET = "55000"  # object_not_in_prerequisite_state
REASON = "a view that the statement names cannot be read yet"


class WaitingViews:
    """The views of one session of `profile` that cannot be read yet."""

    def __init__(self, provisioner: Provisioner, database: str, profile: str, views: Iterable[str]) -> None:
        self.views = frozenset(views)
        self._provisioner = provisioner
        self._database = database
        self._profile = profile

    async def refusal(self, named: frozenset[str]) -> Known | None:
        """What a statement that names `named` is refused with, None if it can be run by now."""
        wanted = named & self.views
        try:
            answer = await self._provisioner.request(
                "readiness",
                timeout=2 * SOON_SECONDS,
                database=self._database,
                profile=self._profile,
                views=sorted(wanted),
            )
            waiting = {str(name): Waiting.from_json(each) for name, each in answer["waiting"].items()}
        except (RingfortError, KeyError, TypeError, ValueError, AttributeError, EOFError):
            waiting = dict.fromkeys(wanted, Waiting())
        self.views -= wanted - waiting.keys()
        longest = together(waiting.values())
        return None if longest is None else refused(waiting, longest)


def refused(views: Iterable[str], waiting: Waiting) -> Known:
    """The refusal: the record has the reason in general, the client how far it is."""
    message, hint = client_words(views, waiting)
    known = Known(Verdict(allowed=False, kind="utility", sqlstate=NOT_YET, reason=REASON))
    known.refusal = error_response("ERROR", NOT_YET, message, hint=hint)
    return known


def waiting_views(provisioner: Provisioner, database: str, opened: dict[str, Any]) -> WaitingViews | None:
    """Those of a session that the provisioner has just decided on; None if it has to wait for none."""
    views = [str(each) for each in opened.get("waiting", ())]
    return WaitingViews(provisioner, database, str(opened["profile"]), views) if views else None


__all__ = ["WaitingViews", "refused", "waiting_views"]
