"""The PostgreSQL frontend/backend protocol without I/O: bytes in, events out."""
