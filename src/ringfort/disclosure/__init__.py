"""A decision, made something the database enforces: profiles, views, the statement allow-list."""
