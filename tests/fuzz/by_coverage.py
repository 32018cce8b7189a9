"""The same targets guided by coverage, by hand: needs `pip install atheris` in a place of its own.

    PYTHONPATH=.:src python tests/fuzz/by_coverage.py TARGET [seconds]

A finding is written by libFuzzer as `crash-*`; give it to the target as a test once it is understood.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ringfort.pgwire", "ringfort.ledger", "ringfort.record"]):
    from tests.fuzz.targets import SEEDS, TARGETS

name = sys.argv[1]
seconds = sys.argv[2] if len(sys.argv) > 2 else "60"
corpus = Path(tempfile.mkdtemp(prefix=f"ringfort-fuzz-{name}-"))
for number, seed in enumerate(SEEDS[name]):
    (corpus / str(number)).write_bytes(seed)
atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", str(corpus)], TARGETS[name])
atheris.Fuzz()
