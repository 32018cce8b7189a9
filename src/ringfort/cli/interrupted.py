"""What an interrupted command leaves, and how to go on: one line for each command that takes long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNFINISHED = "init-unfinished"
_KEPT = {
    ("demo",): "everything that was started is stopped",
    ("up",): "everything that was started is stopped",
    ("remove",): "what is listed as removed is gone; the same command goes on with the rest",
    ("transfer", "run"): "what is done is kept in the region and nothing left it that is not on record;"
    " the same command goes on, `ringfort transfer abandon` gives the run up",
    ("transfer", "preview"): "nothing was released and nothing is kept",
    ("transfer", "verify"): "nothing was changed; the release is not verified",
    ("transfer", "open"): "nothing that was opened is kept",
    ("transfer", "cosign"): "no cosignature was written",
    ("ledger", "verify"): "nothing was changed; the ledger is not verified",
    ("policy", "check"): "nothing was changed",
    ("policy", "explain"): "nothing was changed",
    ("site", "audit"): "what it had revoked from PUBLIC of our own databases stays revoked",
    **dict.fromkeys(
        (
            ("logs",),
            ("status",),
            ("grants",),
            ("ledger", "show"),
            ("ledger", "vkey"),
            ("sessions", "list"),
            ("principal", "list"),
            ("domain", "list"),
            ("canary", "list"),
            ("canary", "show"),
            ("keys", "status"),
            ("transfer", "list"),
        ),
        "nothing was changed",
    ),
    ("pseudonym", "prepare"): "the provisioner goes on with it, if it was asked already;"
    " the same command shows how far it is",
}
_OTHER = "what is on record stands, nothing else was done; run the same command again"


def what_is_kept(arguments: Sequence[str]) -> str:
    """The words for a command line."""
    words = tuple(each for each in arguments if not each.startswith("-"))
    if words[:1] == ("init",):
        if any(Path(each, _UNFINISHED).exists() for each in words[1:]):
            return "what was made is kept; the same command goes on with it"
        if any(Path(each, "ringfort.toml").exists() for each in words[1:]):
            return "the deployment is there and whole; only what was to be said of it is missing"
        return "nothing of it is kept; run the same command again"
    return _KEPT.get(words[:2]) or _KEPT.get(words[:1]) or _OTHER


__all__ = ["what_is_kept"]
