"""node-postgres, with its cursors, streams, pool and COPY. `make clients` installs it and runs this."""

import re
import shutil
from pathlib import Path

import pytest
from tests.clients.foreign_client import results

FOLDER = Path(__file__).parent / "node"
PROGRAM = FOLDER / "operations.mjs"
OPERATIONS = re.findall(r"^  async '(.+)'\(\) \{$", PROGRAM.read_text(encoding="utf-8"), flags=re.MULTILINE)

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "pg").exists(),
        reason="node-postgres is not installed: `make clients` does that where there is npm",
    ),
]


@pytest.fixture(scope="module")
def answered(live):
    return results(["node", str(PROGRAM)], live, FOLDER)


def test_every_operation_was_done(answered):
    assert list(answered) == OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_node_postgres(answered, operation):
    assert not answered[operation], answered[operation]
