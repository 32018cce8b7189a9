"""What a relay asks of what is around it, as protocols: transports, verdicts, its host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ringfort.gateway.verdicts import Known


class Verdicts(Protocol):
    """The verdicts for the session's surface."""

    @property
    def types(self) -> frozenset[int]:
        """Numbers of the types that parameters may be of beside the listed ones."""
        ...

    def lookup(self, sql: bytes) -> Known | None:
        """The remembered verdict."""
        ...

    def ask(self, sql: bytes) -> Awaitable[Known]:
        """The parser's verdict."""
        ...


class Transport(Protocol):
    """What the relay needs of a transport."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        ...

    def is_closing(self) -> bool:
        """Whether nothing more can be done with it."""
        ...

    def pause_reading(self) -> None:
        """Stop `data_received`."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...

    def close(self) -> None:
        """Close after what is queued has gone."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Site(Protocol):
    """What the relay needs of a site's connection; see `outbox`."""

    def write(self, data: bytes) -> None:
        """Send bytes, at the end of this turn of the loop."""
        ...

    def is_closing(self) -> bool:
        """Whether nothing more can be done with it."""
        ...

    def pause_reading(self) -> None:
        """Read nothing."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Host(Protocol):
    """The session that statements are forwarded for."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        ...

    def end(self, sqlstate: str, text: str, hint: str, outcome: str) -> None:
        """End it now, telling the client why."""
        ...

    def leave(self, outcome: str) -> None:
        """End it now without a word."""
        ...

    def pace(self) -> None:
        """Look whether the client may be read on."""
        ...


__all__ = ["Host", "Site", "Transport", "Verdicts"]
