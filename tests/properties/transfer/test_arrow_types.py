"""Every Arrow type in a file of `[source]`: transferred whole, or refused by name before anything runs."""

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.transfer_deployment import CONTRACT, make

from ringfort.catalog.load import load_catalogue
from ringfort.errors import UsageError
from ringfort.policy.contract_source import load_contract
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.inspection import ColumnRule
from ringfort.privacy.pseudonym import Domain
from ringfort.sites.copy_binary import data_type_of
from ringfort.transfer.arrow_types import is_nested, plain, plain_type, refusal
from ringfort.transfer.inspect import Inspection
from ringfort.transfer.measured_rows import measured_table
from ringfort.transfer.part import Job, ReleasePart, TableOrder, reduce_part, write_release_part
from ringfort.transfer.plan import planned_tables, reduction_plan, rendering_faults
from ringfort.transfer.source import files_of, open_files, parts_of
from ringfort.transfer.source_check import check_sources, sample_of

INNER = (pa.string(), pa.float16(), pa.int64(), pa.duration("s"), pa.dictionary(pa.int8(), pa.string()))
SIMPLE = [
    pa.null(), pa.bool_(),
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float16(), pa.float32(), pa.float64(),
    pa.decimal32(7, 2), pa.decimal64(15, 3), pa.decimal128(38, 10), pa.decimal128(5, -2),
    pa.decimal256(76, 38),
    pa.string(), pa.large_string(), pa.string_view(),
    pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3), pa.binary(16),
    pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
    *(pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC", "Europe/Dublin")),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
    pa.month_day_nano_interval(), pa.uuid(), pa.json_(pa.string()), pa.bool8(),
    pa.opaque(pa.string(), "a", "b"),
    pa.fixed_shape_tensor(pa.int8(), [2, 2]),
]  # fmt: skip
NESTED = [
    made
    for inner in INNER
    for made in (
        pa.list_(inner), pa.large_list(inner), pa.list_(inner, 2), pa.list_view(inner),
        pa.large_list_view(inner),
        pa.struct([("a", inner)]), pa.map_(pa.string(), inner), pa.list_(pa.struct([("a", pa.list_(inner))])),
    )
]  # fmt: skip
CODED = [
    *(pa.dictionary(index, pa.string()) for index in (pa.int8(), pa.uint16(), pa.int32(), pa.int64())),
    pa.dictionary(pa.int32(), pa.int64()), pa.dictionary(pa.int32(), pa.float16()),
    pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int32(), pa.string_view()),
    pa.dictionary(pa.int32(), pa.timestamp("us")), pa.dictionary(pa.int32(), pa.binary()),
    pa.dictionary(pa.int32(), pa.list_(pa.string())),
    pa.run_end_encoded(pa.int32(), pa.string()), pa.run_end_encoded(pa.int16(), pa.int64()),
    pa.sparse_union([pa.field("a", pa.int8())]), pa.dense_union([pa.field("a", pa.string())]),
    pa.struct([]),
]  # fmt: skip
EVERY = [*SIMPLE, *NESTED, *CODED]


def values_of(arrow):
    """A value and a NULL of a type, where pyarrow can make them; else NULLs."""
    simple = plain_type(arrow)
    try:
        made = pa.array([sample_of(simple), None], simple if simple != pa.uuid() else pa.binary(16))
        if isinstance(arrow, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(arrow, made.cast(arrow.storage_type))
        return made.cast(arrow)
    except (pa.ArrowException, TypeError, AttributeError, ValueError):
        try:
            return pa.nulls(2, arrow)
        except (pa.ArrowException, TypeError, ValueError):
            return None


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    return make(tmp_path_factory.mktemp("types") / "shop", rows=3)


@pytest.mark.parametrize("arrow", EVERY, ids=str)
def test_a_type_has_a_plain_type_or_a_refusal(arrow):
    simple = plain_type(arrow)
    if refusal(arrow):
        assert simple == arrow
        return
    assert plain_type(simple) == simple
    values = values_of(arrow)
    if values is not None:
        made = plain(values)
        assert made.type == simple or pa.types.is_dictionary(simple)
        made.validate(full=True)
        assert plain(made) is made


@pytest.mark.parametrize("form", ["raw", "masked", "generalised", "pseudonym"])
@pytest.mark.parametrize("output", ["parquet", "csv"])
@pytest.mark.parametrize("arrow", EVERY, ids=str)
def test_a_column_of_any_type_leaves_or_is_refused_by_name(deployed, arrow, output, form):
    values = values_of(arrow)
    path = deployed.folder / "data" / "odd.parquet"
    try:
        pq.write_table(pa.table({"x": values, "id": pa.array([1, 2], pa.int64())}), path)
    except (pa.ArrowException, TypeError, AttributeError, OSError):
        pytest.skip("no Parquet file holds it")
    kind = "key" if form == "pseudonym" else "category"
    data_type = data_type_of(arrow) or "text"
    (deployed.folder / "catalog.toml").write_text(
        '[dataset.shop]\ndatabase = "shop"\nsubject = "odd.id"\n[dataset.shop.table.odd]\nschema = "public"\n'
        "[dataset.shop.table.odd.column]\n"
        'id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }\n'
        f'x = {{ type = "{data_type}", protection = "protected", identifiability = "quasi",'
        f' kind = "{kind}" }}\n'
    )
    text = CONTRACT[: CONTRACT.index("[source]")].replace(
        'retention = "90d"', f'retention = "90d"\nformat = "{output}"'
    )
    text += '[source]\ncountry = "IE"\nfiles = { odd = "data/odd.parquet" }\n[table.odd.column]\n'
    deployed.contract_path.write_text(text + f'id = "pseudonym"\nx = "{form}"\n')
    contract, _ = load_contract(deployed.contract_path)
    catalogue = load_catalogue(deployed.folder / "catalog.toml")
    if rendering_faults(contract, catalogue):
        return  # refused by the contract's check
    try:
        check_sources(deployed.config, contract, catalogue)
    except UsageError as error:
        said = error.message
    else:
        said = ""
    if said:
        assert "odd.x" in said
        assert "\n" not in said
        # as it is, all that can be read leaves; parts have no form in CSV
        parts = is_nested(plain_type(arrow))
        assert refusal(arrow) or form != "raw" or (parts and output == "csv"), said
        return
    assert not refusal(arrow)
    (table,) = planned_tables(contract, catalogue)
    source = open_files("odd", files_of(path), 2)
    plan = reduction_plan(
        table,
        catalogue.dataset("shop"),
        source.schema(),
        Domain("Acme", "analysis", 1),
        EpochSecret(bytes(32), NEWEST),
    )
    target = deployed.folder / "made"
    target.mkdir(exist_ok=True)
    inspection = Inspection("one", bytes(32), (ColumnRule("x"), ColumnRule("id")))
    measured = measured_table(catalogue.dataset("shop"), contract.tables[0], source.schema())
    job = Job(
        str(target), str(target), output, {"odd": plan}, {"odd": TableOrder(bytes(16), "id")},
        {"odd": inspection}, {"odd": measured}, bytes(32),
    )  # fmt: skip
    parts = parts_of(source)
    reduced = [reduce_part(job, each) for each in parts]
    spooled = tuple(file for each in reduced for file in each.files)
    made = [
        write_release_part(job, ReleasePart(source, each.number, each.first, each.rows, each.id, spooled))
        for each in parts
    ]
    files = [target / each.file for each in made]
    rows = sum(
        pq.read_table(each).num_rows if output == "parquet" else pa_csv.read_csv(each).num_rows
        for each in files
    )
    assert rows == 2
    assert sum(sum(pq.read_table(each.tags).column("n").to_pylist()) for each in reduced) == 2
