"""Entry types of the traffic log: what happened. Kept as long as their shard.

`evidence` is the SHA-256 of `salt (32 bytes) || plaintext`; the plaintext is sealed in the evidence store.
`control` is the size of the control log on which the decision stood; a `ControlReferenced` leaf before it in
the same shard gives the root.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfort.ledger.entry import (
    TRAFFIC,
    Count,
    Digest,
    Entry,
    Name,
    OptionalDigest,
    Retention,
    StatementEnd,
    Text,
    entry_type,
)


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class ControlReferenced(Entry):
    """Entries after this one may stand on the control log of this size and root hash.

    Written by the writer.
    """

    size: Count
    root: Digest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class CredentialAccepted(Entry):
    """A certificate or a token (`method`) proved who somebody is; which one is evidence."""

    method: Name
    evidence: Digest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class AuthenticationFailed(Entry):
    """Somebody did not prove who they are."""

    reason: Text
    evidence: OptionalDigest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class SessionRefused(Entry):
    """An authenticated principal got no session."""

    reason: Text
    sqlstate: Name
    evidence: OptionalDigest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class StatementAdmitted(Entry):
    """A statement may be answered; `shape` is the allow-listed tree with catalogued identifiers only."""

    session: Name
    seq: Count
    control: Count
    kind: Name
    shape: Text
    evidence: Digest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class StatementRefused(Entry):
    """A statement was not forwarded, and why."""

    session: Name
    seq: Count
    control: Count
    sqlstate: Name
    reason: Text
    evidence: OptionalDigest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class StatementsEnded(Entry):
    """How admitted statements ended, several at once.

    By the writer with the outcome `worker lost` if the worker died: rows and bytes are then not known, and 0.
    """

    ended: tuple[StatementEnd, ...]


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class PseudonymsDisclosed(Entry):
    """What `PseudonymsResolved` or `PseudonymsBridged` gave, as evidence; given once this was durable.

    Without this entry the act was counted, and nothing was given.
    """

    act: Name
    control: Count
    evidence: Digest


@entry_type(TRAFFIC, Retention.SHARD)
@dataclass(frozen=True, kw_only=True)
class SessionEnded(Entry):
    """A session is over: how, and its totals.

    By the writer with the outcome `worker lost` if the worker died: the totals are those of statements that
    had ended.
    """

    session: Name
    outcome: Name
    statements: Count
    rows: Count
    bytes: Count
