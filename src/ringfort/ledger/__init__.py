"""The transparency log without I/O: RFC 6962 and C2SP formats, entries, folds.

Importing the package registers every entry type, so that decoding never depends on what else was imported.
"""

from ringfort.ledger import entry_control, entry_traffic

__all__ = ["entry_control", "entry_traffic"]
