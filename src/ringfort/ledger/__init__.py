"""The transparency log without I/O: RFC 6962 and C2SP formats, entries, folds."""
