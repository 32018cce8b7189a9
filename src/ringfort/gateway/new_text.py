"""The verdict on a text that nobody has judged yet, for a statement that waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfort.gateway.relay_ports import Verdicts
    from ringfort.gateway.verdicts import Known


class NewText:
    """Asks for one text at a time; `on_answer` is called when it is judged."""

    def __init__(self, verdicts: Verdicts, on_answer: Callable[[], None]) -> None:
        self._verdicts = verdicts
        self._on_answer = on_answer
        self._judged: tuple[bytes, Known] | None = None
        self._task: asyncio.Task[None] | None = None

    def known(self, sql: bytes) -> Known | None:
        """The verdict, once; None if the parser is asked: then the same text will be looked up again."""
        judged, self._judged = self._judged, None
        if judged is not None and judged[0] == sql:
            return judged[1]
        self._task = asyncio.ensure_future(self._ask(sql))
        return None

    async def _ask(self, sql: bytes) -> None:
        known = await self._verdicts.ask(sql)
        self._task = None
        self._judged = (sql, known)
        self._on_answer()

    def stop(self) -> None:
        """Nobody waits for it any more."""
        if self._task is not None:
            self._task.cancel()


__all__ = ["NewText"]
