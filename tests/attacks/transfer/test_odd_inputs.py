"""Odd files, values and names through a whole run: released or a named error, and never stuck."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, NAME, make

from ringfort.errors import MissingEnvironmentError, RingfortError
from ringfort.sites.copy_binary import data_type_of
from ringfort.transfer.run import TransferStoppedError, run_transfer
from ringfort.transfer.runners import InProcess

IDS = pa.array([1, 2, None], pa.int64())
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return make(tmp_path_factory.mktemp("odd") / "shop", rows=3)


def quoted(name):
    return (
        '"'
        + "".join(each if each.isascii() and each.isalnum() else f"\\U{ord(each):08X}" for each in name)
        + '"'
    )


def offer(
    deployed, table, *, name="odd", form="raw", output="parquet", data_type="", kind="category", with_id=True
):
    """Put a file, a catalogue and a contract for `x` of this table in place; gives the approval's outcome."""
    number = next(NUMBERS)
    path = deployed.folder / "data" / f"odd-{number}.parquet"
    pq.write_table(table, path)
    found = data_type or (
        data_type_of(table.schema.field("x").type) if table.schema.names.count("x") == 1 else "text"
    )
    key = 'id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }\n'
    (deployed.folder / "catalog.toml").write_text(
        f'[dataset.shop]\ndatabase = "shop"\nsubject = {quoted(name + ".id")}\n'
        f'[dataset.shop.table.{quoted(name)}]\nschema = "public"\nview = "odd"\n'
        f"[dataset.shop.table.{quoted(name)}.column]\n{key}"
        f'x = {{ type = "{found}", protection = "public", identifiability = "none", kind = "{kind}" }}\n'
    )
    applied = deployed.ringfort("policy", "apply", "DIR")
    text = CONTRACT[: CONTRACT.index("[source]")].replace('"90d"', f'"90d"\nformat = "{output}"')
    text += f'[source]\ncountry = "IE"\nfiles = {{ {quoted(name)} = "data/odd-{number}.parquet" }}\n'
    text += f"[table.{quoted(name)}.column]\n" + ('id = "pseudonym"\n' if with_id else "") + f'x = "{form}"\n'
    deployed.contract_path.write_text(text)
    if applied.returncode:
        return applied, path
    try:
        deployed.approve()
    except RingfortError as error:
        return error, path
    return None, path


def run(deployed):
    """Run; what it ends in is named and in order with the record."""
    done = deployed.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode in {0, 1, 2, 3}
    if done.returncode:
        assert done.stderr.startswith("error: ")
        assert not done.stderr.startswith("error: cannot work in")
    runs = deployed.state().transfers[NAME].runs if NAME in deployed.state().transfers else ()
    assert all(each.status in {"published", "stopped"} for each in runs), done.stderr  # nothing is stuck
    return done


LONG = "a word " * 100_000
TABLES = {
    "no rows": pa.table({"x": pa.array([], pa.string()), "id": pa.array([], pa.int64())}),
    "nulls": pa.table({"x": pa.nulls(3), "id": IDS}),
    "line breaks": pa.table({"x": ["a\nb", "\r\n", '"\n,"'], "id": IDS}),
    "empty texts": pa.table({"x": ["", None, " "], "id": IDS}),
    "long text": pa.table({"x": [LONG, "", None], "id": IDS}),
    "NUL": pa.table({"x": ["a\0b", "\0", "c"], "id": IDS}),
    "half floats": pa.table({"x": pa.array(np.array([1.5, np.nan, np.inf], np.float16)), "id": IDS}),
    "floats": pa.table({"x": [float("inf"), float("nan"), -0.0], "id": IDS}),
    "endless times": pa.table({"x": pa.array([2**63 - 1, -(2**63), 0]).cast(pa.timestamp("us")), "id": IDS}),
    "nanoseconds": pa.table({"x": pa.array([1, 2, 3], pa.timestamp("ns")), "id": IDS}),
    "durations": pa.table({"x": pa.array([1, None, 3], pa.duration("s")), "id": IDS}),
    "wide decimals": pa.table({"x": pa.array([1, None, 3], pa.decimal256(70, 5)), "id": IDS}),
    "times": pa.table({"x": pa.array([1, None, 3], pa.time32("s")), "id": IDS}),
    "bytes": pa.table({"x": [b"\xff\x00", b"", None], "id": IDS}),
    "bad text": pa.table({"x": pa.array([b"\xff\xfe", b"a", None]).view(pa.string()), "id": IDS}),
    "nested": pa.table({"x": [[{"a": [None, "b"]}], None, []], "id": IDS}),
    "maps": pa.table({"x": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())), "id": IDS}),
    "dictionary of numbers": pa.table({"x": pa.array([1.5, None, 1.5]).dictionary_encode(), "id": IDS}),
    "twice": pa.table([pa.array(["a"]), pa.array(["b"]), pa.array([1])], names=["x", "x", "id"]),
    "columns not there": pa.table({"y": ["a"], "x": ["b"]}),
    "no columns": pa.table({}),
}


@pytest.mark.parametrize("output", ["parquet", "csv"])
@pytest.mark.parametrize("case", TABLES)
def test_an_odd_table_is_released_or_refused_by_name(deployed, case, output):
    table = TABLES[case]
    if "x" not in table.schema.names:
        table = pa.table({"x": pa.array([], pa.null())}) if case == "no columns" else table
    refused, _ = offer(deployed, table, output=output)
    if refused is None:
        run(deployed)


@pytest.mark.parametrize("rows", [[None, None, "a"], [None], ["", None], ["a\nb", None, "c"]])
def test_a_csv_file_of_one_column_runs(deployed, rows):
    refused, _ = offer(
        deployed, pa.table({"x": pa.array(rows, pa.string()), "id": pa.nulls(len(rows), pa.int64())}),
        output="csv", with_id=False,
    )  # fmt: skip
    assert refused is None
    assert run(deployed).returncode == 0


NAMES = [
    "manifest.note", "manifest.tlog-proof", "cosignature.note", "manifest.json", ".", "..", "CON", "a/b",
    "a b", "../../etc", "nul.txt", "x" * 60, "\u00e9t\u00e9", "ends.", "%2e%2e", "-rf", "a\nb", "a\0b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_table_of_any_name_is_released_and_verifies_or_is_refused(deployed, name):
    before = set(deployed.releases())
    refused, _ = offer(deployed, pa.table({"x": ["a", "b", None], "id": IDS}), name=name)
    if refused is not None:
        return
    done = run(deployed)
    if done.returncode == 0:
        (made,) = set(deployed.releases()) - before
        assert {each.parent.parent for each in made.rglob("*.parquet")} == {made}
        checked = deployed.ringfort("transfer", "verify", str(made), "--vkey", deployed.vkey())
        assert checked.returncode == 0, checked.stdout


def test_a_file_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(deployed):
    refused, path = offer(deployed, pa.table({"x": ["a", "b", None], "id": IDS}))
    assert refused is None
    aside = path.with_suffix(".aside")
    path.rename(aside)
    done = deployed.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode in {2, 3}
    assert path.name in done.stderr
    assert "make room" not in done.stderr
    aside.rename(path)
    assert run(deployed).returncode == 0


class Vanishing(InProcess):
    """Does the parts after a file was taken away."""

    def __init__(self, path):
        self._path = path

    def run(self, function, common, items, *, rows):
        self._path.rename(self._path.with_suffix(".aside"))
        yield from super().run(function, common, items, rows=rows)


def test_a_file_that_vanishes_in_the_middle_is_named_and_a_new_run_reads_it_when_it_is_back(deployed):
    refused, path = offer(deployed, pa.table({"x": ["a", "b", None], "id": IDS}))
    assert refused is None
    with pytest.raises(MissingEnvironmentError, match=rf"{path.name}`, which the transfer reads") as told:
        run_transfer(deployed.config, NAME, Vanishing(path))
    assert "put it back" in told.value.hint
    path.with_suffix(".aside").rename(path)
    with pytest.raises(TransferStoppedError, match="has changed since the run began"):
        run_transfer(deployed.config, NAME, InProcess())
    assert not run_transfer(deployed.config, NAME, InProcess()).resumed


def test_once_says_what_helps(deployed):
    refused, _ = offer(deployed, pa.table({"x": ["a", "b", None], "id": IDS}))
    assert refused is None
    text = deployed.contract_path.read_text().replace('"on-demand"', '"once"')
    deployed.contract_path.write_text(text)
    deployed.approve()
    done = deployed.ringfort("transfer", "run", "DIR", NAME)
    if done.returncode == 0:
        done = deployed.ringfort("transfer", "run", "DIR", NAME)
    assert done.returncode == 2
    assert "under another name, or with another schedule" in done.stderr
    deployed.contract_path.write_text(text.replace('"once"', '"on-demand"'))
    deployed.approve(now=lambda: datetime.now(UTC) + timedelta(seconds=1))
    assert run(deployed).returncode == 0
