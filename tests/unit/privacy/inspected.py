"""Plans and fingerprints for the tests of inspection."""

import itertools

import pyarrow as pa

from ringfort.privacy.fingerprint import FingerprintBuilder
from ringfort.privacy.inspection import InspectionPlan

KEY = bytes(range(32))
_NUMBERS = itertools.count()


def fingerprints(*, sure=False, **columns):
    """Fingerprints of columns of identifiers, by kind."""
    builder = FingerprintBuilder(KEY, sure=sure)
    for kind, values in columns.items():
        builder.add(kind, pa.array(values))
    return builder.finish().fingerprints


def plan(*rules, known=None, canaries=None, pseudonyms=()):
    """A plan of its own."""
    return InspectionPlan(f"test {next(_NUMBERS)}", KEY, rules, known, canaries, pseudonyms)


def found(result):
    """Findings as a dictionary."""
    return {(each.column, each.kind): each.rows for each in result.findings()}
