"""What can be wrong with a ledger, as exceptions. Messages never carry an entry's content."""

from __future__ import annotations

from ringfort.errors import CheckFailedError, RingfortError


class LedgerError(RingfortError):
    """Root of the ledger's own errors."""

    default_sqlstate = "58030"  # io_error


class EntryError(LedgerError):
    """Bytes that are no entry, or an entry that must not be written."""

    default_sqlstate = "22023"  # invalid_parameter_value


class FoldError(LedgerError):
    """An entry that does not follow from the control log before it."""


class ConditionFailedError(LedgerError):
    """A conditional append was refused: the state it was decided on has changed."""

    default_sqlstate = "40001"  # serialization_failure


class MerkleError(LedgerError, CheckFailedError):
    """A proof or a tree that does not hold."""


class TilesError(LedgerError, CheckFailedError):
    """A tile, a bundle or its path that is not what C2SP tlog-tiles allows, or that is missing."""


class NoteError(LedgerError, CheckFailedError):
    """A signed note, checkpoint, cosignature or key that is malformed or not signed as asked."""
