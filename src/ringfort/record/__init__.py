"""Edge of the ledger: the journal on disk, the writer process, its clients, HTTP."""
