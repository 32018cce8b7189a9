"""People as decisions see them: registered facts, and who manages whom, read from the folded control log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.errors import UsageError
from ringfort.policy.request import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfort.ledger.folds import ControlState


def registered(state: ControlState, name: str) -> Principal:
    """A registered principal; raises `UsageError`."""
    facts = state.principals.get(name)
    if facts is None:
        raise UsageError(f"`{name}` is not registered", hint="`ringfort principal list` shows who is")
    return Principal(facts.name, facts.country, facts.employer, facts.role)


def managers_above(state: ControlState, name: str) -> tuple[str, ...]:
    """The chain of managers above `name`, nearest first, as far as it is registered."""
    found: list[str] = []
    at = state.principals.get(name)
    while at is not None and at.manager and at.manager not in {*found, name}:
        found.append(at.manager)
        at = state.principals.get(at.manager)
    return tuple(found)


def people_keys(state: ControlState, names: Iterable[str]) -> tuple[str, ...]:
    """The state keys of all who a decision about `names` looks at: they, and everybody above them."""
    found = {name for each in names for name in (each, *managers_above(state, each))}
    return tuple(f"principal:{each}" for each in sorted(found))


__all__ = ["managers_above", "people_keys", "registered"]
