"""Entry types of the control log about what else than a password proves who somebody is.

A credential is a name that a certificate or a token carries and the principal whom it stands for. Which
certificates and tokens are believed at all is configuration; nothing here is secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringfort.ledger.entry import CONTROL, Entry, Name, Retention, entry_type
from ringfort.ledger.errors import FoldError

if TYPE_CHECKING:
    from ringfort.ledger.folds import ControlState

METHODS = ("certificate", "token")


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class CredentialRegistered(Entry):
    """A certificate or a token (`method`) with this name stands for a principal; replaces an earlier one.

    A certificate's `subject` is `cn:NAME`, `san:dns:NAME`, `san:email:ADDRESS` or `san:uri:URI`; a token's is
    the value of the claim that names principals.
    """

    name: Name
    method: Name
    subject: Name


@entry_type(CONTROL, Retention.PERMANENT)
@dataclass(frozen=True, kw_only=True)
class CredentialRemoved(Entry):
    """No certificate, or no token, stands for a principal any more."""

    name: Name
    method: Name


def registered(state: ControlState, entry: CredentialRegistered) -> str:
    """Fold: the principal is registered, and nobody else has this subject."""
    if entry.method not in METHODS:
        raise FoldError("`CredentialRegistered` names a method that there is not")
    if entry.name not in state.principals:
        raise FoldError("`CredentialRegistered` names a principal that is not registered")
    for (name, method), subject in state.credentials.items():
        if (method, subject) == (entry.method, entry.subject) and name != entry.name:
            raise FoldError("`CredentialRegistered` names a subject that stands for somebody else")
    state.credentials[entry.name, entry.method] = entry.subject
    return f"principal:{entry.name}"


def removed(state: ControlState, entry: CredentialRemoved) -> str:
    """Fold: the credential was there."""
    if state.credentials.pop((entry.name, entry.method), None) is None:
        raise FoldError("`CredentialRemoved` names a credential that is not registered")
    return f"principal:{entry.name}"


def principal_removed(state: ControlState, name: str) -> None:
    """Fold: a principal's credentials go with it."""
    for method in METHODS:
        state.credentials.pop((name, method), None)


__all__ = [
    "METHODS",
    "CredentialRegistered",
    "CredentialRemoved",
    "principal_removed",
    "registered",
    "removed",
]
