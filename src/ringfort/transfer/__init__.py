"""The second gate: what leaves the region as files, by contract: reduced, inspected, recorded, released."""
