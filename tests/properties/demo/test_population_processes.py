"""The population is the same in every process: nothing in it depends on the order of a set or on the day."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, pyarrow
from ringfort.demo.population import generate
digest = hashlib.sha256()
for table in generate(300, 42).values():
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    digest.update(sink.getvalue())
print(digest.hexdigest())
"""


@pytest.mark.long
def test_same_bytes_whatever_the_hash_seed_and_the_time_zone():
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64
