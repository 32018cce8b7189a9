"""Edge: the gate itself. Listener, sessions, relay; worker, parser and provisioner processes."""
