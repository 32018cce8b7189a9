"""The numbers of the ways in which keys of an epoch derive from its secret, oldest first.

An epoch has one of them on record (`ledger.domains`), for good; what each does: `privacy.epoch_keys`.
"""

DERIVATIONS = (1, 2)
