"""Two companies get one table; its rows lie in another order each time. Nothing joins by position."""

import random
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, ENTITY, NAME, digests, make

from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess, WorkerProcesses

ROWS = 3_000


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("positions") / "shop", rows=ROWS)
    done = made.ringfort(
        "principal", "add", "DIR", "beta", "--country", "US", "--employer", "Beta Ltd", "--role", "analyst",
        "--password-stdin", stdin="correct horse battery\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return made


def released(deployed, output, *changes, runner=None):
    deployed.write(CONTRACT, ('retention = "90d"', f'retention = "90d"\nformat = "{output}"'), *changes)
    deployed.approve()
    outcome = run_transfer(deployed.config, NAME, runner or InProcess())
    return deployed.outbox / outcome.run


def lie_otherwise(deployed, seed):
    """The same rows in another order, in other files, row groups and encodings."""
    data = deployed.folder / "data"
    draw = random.Random(seed)
    for path in (data / "customers", data / "orders.parquet"):
        table = pq.read_table(path)
        order = list(range(table.num_rows))
        draw.shuffle(order)
        table = table.take(pa.array(order))
        if path.is_dir():
            shutil.rmtree(path)
            path.mkdir()
            cut = draw.randrange(table.num_rows)
            pq.write_table(table.slice(0, cut), path / "x.parquet", row_group_size=draw.randrange(50, 900))
            pq.write_table(table.slice(cut), path / "y.parquet", use_dictionary=False)
        else:
            pq.write_table(table, path, row_group_size=draw.randrange(50, 900), use_dictionary=seed % 2 == 0)


@pytest.mark.parametrize("output", ["parquet", "csv"])
def test_bytes_do_not_tell_how_rows_lay_nor_who_did_it(deployed, output):
    first = digests(released(deployed, output))
    for seed in range(2):
        lie_otherwise(deployed, seed)
        assert digests(released(deployed, output)) == first
    assert digests(released(deployed, output, runner=WorkerProcesses(2, always=True))) == first


TO_BETA = (
    ('principal = "acme"', 'principal = "beta"'),
    (f'entity = "{ENTITY}"', 'entity = "Beta Ltd"'),
)


@pytest.mark.parametrize("changes", [(), (('customer_id = "pseudonym"\n', ""),)], ids=["pseudonym", "none"])
def test_two_companies_agree_on_positions_no_more_than_chance(deployed, changes):
    """`amount` is shown to both and nearly unique: it tells which source row a row is."""
    got = [
        pq.read_table(released(deployed, "parquet", *each, *changes) / "orders").column("amount").to_pylist()
        for each in ((), TO_BETA)
    ]
    assert sorted(got[0]) == sorted(got[1])
    agree = sum(one == other for one, other in zip(*got, strict=True))
    assert agree < 2 * ROWS / 200  # as rows lay, all of them
    for one in got:
        assert one != sorted(one)
