"""Positions tell nothing wherever rows come from and a release goes: a site, CSV, sealed files, a store."""

import base64
import io
import random

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.attacks.transfer.test_positions_in_files import TO_BETA, lie_otherwise
from tests.cli.test_transfer_places import s3, store  # noqa: F401 - a fixture
from tests.transfer_deployment import CONTRACT, FILES, NAME, PASSWORD, digests, make, to_site

from ringfort.private_files import write_private
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess

ROWS = 600
COLUMNS = {
    "customers": "id, email, name, phone, born, country, note",
    "orders": "id, customer_id, amount, at",
}


def deployment(folder):
    made = make(folder, rows=ROWS)
    made.ringfort(
        "principal", "add", "DIR", "beta", "--country", "US", "--employer", "Beta Ltd", "--role", "analyst",
        "--password-stdin", stdin=f"{PASSWORD}\n", check=True,
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return deployment(tmp_path_factory.mktemp("places") / "shop")


def released(deployed, *changes):
    deployed.write(CONTRACT, *changes).approve()
    return run_transfer(deployed.config, NAME, InProcess())


def agreement(one, other):
    """The share of places at which two releases show the same order: `amount` is nearly unique."""
    sides = [pq.read_table(each).column("amount").to_pylist() for each in (one, other)]
    assert sorted(sides[0]) == sorted(sides[1])
    return sum(a == b for a, b in zip(*sides, strict=True)) / len(sides[0])


CHANCE = 0.01  # some one in twelve hundred


# -- three physical orders in PostgreSQL -------------------------------------------------------------------


def loaded_as_csv(admin, deployed, seed):
    """Emptied, and loaded again from CSV files whose lines are shuffled."""
    for table in ("orders", "customers"):
        source = deployed.folder / "data" / (table if table == "customers" else "orders.parquet")
        rows = pq.read_table(source)
        order = list(range(rows.num_rows))
        random.Random(seed).shuffle(order)
        text = io.BytesIO()
        pa_csv.write_csv(rows.take(pa.array(order)).select(COLUMNS[table].split(", ")), text)
        admin.execute(f"TRUNCATE {table}")
        with (
            admin.cursor() as cursor,
            cursor.copy(f"COPY {table} ({COLUMNS[table]}) FROM STDIN (FORMAT csv, HEADER)") as copy,
        ):
            copy.write(text.getvalue())


def moved_by_updates(admin):
    """Rows that were updated stand at the end of the table, or where others were before."""
    for statement in (
        "UPDATE customers SET note = note WHERE id % 3 = 0",
        "UPDATE orders SET amount = amount WHERE customer_id % 2 = 0",
        "VACUUM customers",
        "UPDATE orders SET at = at WHERE customer_id % 5 = 1",
        "UPDATE customers SET country = country WHERE id % 7 = 1",
    ):
        admin.execute(statement)


def clustered(admin):
    """Written anew in the order of an index, with other free space."""
    admin.execute("ALTER TABLE orders SET (fillfactor = 40)")
    admin.execute("CREATE INDEX by_amount ON orders (amount DESC)")
    admin.execute("CLUSTER orders USING by_amount")
    admin.execute("DROP INDEX by_amount")
    admin.execute("CREATE INDEX by_born ON customers (born, id DESC)")
    admin.execute("CLUSTER customers USING by_born")
    admin.execute("DROP INDEX by_born")


@pytest.mark.parametrize("output", ["parquet", "csv"])
def test_rows_of_a_site_leave_as_the_same_bytes_in_whatever_order_they_lie(tmp_path, fresh_database, output):
    deployed = deployment(tmp_path / "shop")
    form = ('retention = "90d"', f'retention = "90d"\nformat = "{output}"')
    files = digests(deployed.outbox / released(deployed, form).run)
    to_site(deployed, fresh_database)
    site = (FILES, "")
    got, places = [], []
    with psycopg.connect(fresh_database, autocommit=True) as admin:
        for lay in (
            lambda: None,
            lambda: loaded_as_csv(admin, deployed, 1),
            lambda: moved_by_updates(admin),
            lambda: clustered(admin),
        ):
            lay()
            places.append(admin.execute("SELECT array_agg(amount ORDER BY ctid) FROM orders").fetchone()[0])
            got.append(digests(deployed.outbox / released(deployed, form, site).run))
        assert len({tuple(each) for each in places}) == 4  # they do lie otherwise
        assert all(each == got[0] for each in got)
        assert got[0] == files  # and it is all one whether they come from Parquet files
        if output == "parquet":
            acme = deployed.outbox / released(deployed, site).run / "orders"
            beta = deployed.outbox / released(deployed, site, *TO_BETA).run / "orders"
            assert agreement(acme, beta) < CHANCE


# -- sealed ------------------------------------------------------------------------------------------------


def key_pair(path):
    private = X25519PrivateKey.generate()
    path.write_bytes(base64.b64encode(private.private_bytes_raw()) + b"\n")
    path.chmod(0o600)
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def test_sealed_releases_open_to_the_same_bytes_and_join_by_nothing(deployed, tmp_path):
    recipient, overseer = key_pair(tmp_path / "recipient"), key_pair(tmp_path / "overseer")
    made = deployed.ringfort("transfer", "key", str(tmp_path / "signing"), "--name", "overseer.example")
    overseer_vkey = made.stdout.split("vkey ")[1].split()[0]
    seal = (
        "[table.customers.column]",
        f'[seal]\nrecipient = "{recipient}"\noverseer = "{overseer}"\n\n[table.customers.column]',
    )
    vkey = deployed.vkey()

    def opened(*changes):
        folder = deployed.outbox / released(deployed, seal, *changes).run
        given = ("--vkey", vkey, "--key", str(tmp_path / "overseer"))
        sign = ("transfer", "cosign", str(folder), *given, "--signing-key", str(tmp_path / "signing"))
        deployed.ringfort(*sign, check=True)
        to = tmp_path / folder.name
        unseal = ("--key", str(tmp_path / "recipient"), "--overseer", overseer_vkey, "--to", str(to))
        deployed.ringfort("transfer", "open", str(folder), "--vkey", vkey, *unseal, check=True)
        sealed = sorted(each for each in folder.rglob("*.sealed"))
        return to, [each.stat().st_size for each in sealed], [each.read_bytes() for each in sealed]

    first, sizes, bytes_ = opened()
    for seed in (1, 2):
        lie_otherwise(deployed, seed)
        again, other_sizes, other_bytes = opened()
        assert digests(again) == digests(first)
        assert other_sizes == sizes  # all that whoever has no key can see
        assert not set(other_bytes) & set(bytes_)  # each has keys of its own
    beta, *_ = opened(*TO_BETA)
    assert agreement(first / "orders", beta / "orders") < CHANCE


# -- in a store --------------------------------------------------------------------------------------------


def test_objects_in_a_store_are_the_same_bytes_and_join_by_nothing(deployed, s3):  # noqa: F811
    write_private(deployed.folder / "secrets" / f"transfer-{NAME}.s3", b"access\nsecret\n")
    target = ('address = "outbox"', f'address = "s3://bucket/out"\nendpoint = "{s3}"')
    there = store(s3)

    def objects(*changes):
        address = released(deployed, target, *changes).address.removeprefix("s3://")
        found = {}
        for each in there.get_file_info(_all_below(address)):
            if each.is_file:
                with there.open_input_stream(each.path) as file:
                    found[each.path.removeprefix(address + "/")] = file.read()
        return found

    first = objects()
    assert {each for each in first if not each.startswith("manifest")} == {
        "customers/part-00000.parquet", "orders/part-00000.parquet",
    }  # fmt: skip
    for seed in (3, 4):
        lie_otherwise(deployed, seed)
        again = objects()
        assert {name: again[name] for name in again if not name.startswith("manifest")} == {
            name: first[name] for name in first if not name.startswith("manifest")
        }
    beta = objects(*TO_BETA)
    orders = "orders/part-00000.parquet"
    assert agreement(pa.BufferReader(first[orders]), pa.BufferReader(beta[orders])) < CHANCE


def _all_below(address):
    from pyarrow.fs import FileSelector

    return FileSelector(address, recursive=True)
