"""What can go wrong at the ledger's edge. Messages never carry an entry's content."""

from __future__ import annotations

from ringfort.errors import MissingEnvironmentError, RingfortError


class RecordError(RingfortError):
    """Root of the record's own errors."""

    default_sqlstate = "58030"  # io_error


class JournalError(RecordError):
    """The journal cannot be written or cannot be trusted; nothing more is acknowledged."""


class LedgerBehindError(RecordError):
    """What was published is ahead of what can be rebuilt: most likely a restored backup."""


class RefusedError(RecordError):
    """The writer refused an entry."""

    default_sqlstate = "22023"  # invalid_parameter_value


class LedgerLostError(RecordError):
    """The connection to the writer is gone; whether the last entries are durable is not known."""

    default_sqlstate = "57P01"  # admin_shutdown


class LedgerLockedError(MissingEnvironmentError):
    """Another process holds the ledger."""


class NoLedgerError(MissingEnvironmentError):
    """There is no ledger where one was looked for."""
