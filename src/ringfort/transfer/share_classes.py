"""Shares as one of a few classes: what is told of figures to whoever may not open them."""

from __future__ import annotations

_FINE = ((0.001, "under 0.1 %"), (0.01, "under 1 %"), (0.05, "1 to 5 %"), (0.2, "5 to 20 %"))
OF_ONE_RECIPIENT = (*_FINE, (float("inf"), "20 % or more"))
BETWEEN_RECIPIENTS = (
    *_FINE, (0.5, "20 to 50 %"), (0.9, "50 to 90 %"), (float("inf"), "90 % or more"),
)  # fmt: skip
"""Classes by the share that they end below."""


def share_class(part: float, whole: float, classes: tuple[tuple[float, str], ...] = OF_ONE_RECIPIENT) -> str:
    """The class of `part` of `whole`; of nothing, or of no whole, `none`."""
    if not part or not whole:
        return "none"
    return next(name for limit, name in classes if part / whole < limit)


__all__ = ["BETWEEN_RECIPIENTS", "OF_ONE_RECIPIENT", "share_class"]
