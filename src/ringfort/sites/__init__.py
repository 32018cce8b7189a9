"""Edge: managed PostgreSQL, connections, secrets on disk."""
