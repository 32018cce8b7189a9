"""Which views of a profile cannot be read yet: what workers ask for a statement that names one.

    readiness  {database, profile, views}   -> {waiting: {view: [percent, seconds, fault]}}

The answer is of this moment. A view that is expected soon is waited for, so that a statement on a new profile
over small tables just takes a little longer. A profile that this process does not know has nothing to wait
for: a session that opens makes it known.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ringfort.errors import UsageError
from ringfort.gateway.mapping_state import SOON_SECONDS

if TYPE_CHECKING:
    from ringfort.gateway.mapping_state import Waiting
    from ringfort.gateway.provisioner_served import Served


class Readiness:
    """Answers when it is time to. `moved_threadsafe` is called when anything has changed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Future[None] | None = None

    def moved_threadsafe(self) -> None:
        """Something got ready or has a fault; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._moved)

    def _moved(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    async def asked(self, served: Served, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer to one worker."""
        digest, views = fields.get("profile"), fields.get("views")
        if not isinstance(digest, str) or not isinstance(views, list):
            raise UsageError("`profile` must be a text and `views` a list")
        self._loop = asyncio.get_running_loop()
        until = self._loop.time() + SOON_SECONDS
        while True:
            if self._news is None:
                self._news = self._loop.create_future()
            news = self._news
            waiting = self._of(served, digest, views)
            left = until - self._loop.time()
            if left <= 0 or not all(each.soon for each in waiting.values()) or not waiting:
                return {"waiting": {name: each.to_json() for name, each in waiting.items()}}
            await asyncio.wait((news,), timeout=min(left, 1.0))

    @staticmethod
    def _of(served: Served, digest: str, views: list[Any]) -> dict[str, Waiting]:
        profile = served.profiles.get(digest)
        if profile is None:
            return {}
        return {name: each for name, each in served.waiting(profile).items() if name in views}


__all__ = ["Readiness"]
