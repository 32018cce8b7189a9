"""A Parquet file tells no more than its rows: footer, row groups, statistics, dictionaries and sizes."""

import random
import string

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.properties.transfer.test_parts import BATCH, content, plan_of, release, table

from ringfort.transfer.part import Job, ReleasePart, TableOrder, reduce_part, write_release_part
from ringfort.transfer.reduce import ColumnPlan, ReductionPlan
from ringfort.transfer.source import SourceTable, files_of, open_files, parts_of

ROWS = 1_000
GROUP = 64  # rows of a row group here: each part has eight
KEYS = {"Acme": b"a" * 16, "Other": b"b" * 16}


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """The same rows to two recipients; `amount` says which source row it is, `word` repeats twenty times."""
    draw = random.Random(11)
    rows = [(at, f"w{at % 50}", None, float(at)) for at in range(ROWS)]
    draw.shuffle(rows)
    found = {}
    for method in ("cmac", "siv", ""):
        for recipient, key in KEYS.items():
            folder = tmp_path_factory.mktemp(f"{recipient}{method}")
            found[method, recipient] = release(
                folder, table(rows), plan_of(method, recipient), key=key, batch=GROUP
            )
    return found


def chunks(files):
    """Every column chunk of every row group, with the rows of that group."""
    for path in files:
        file = pq.ParquetFile(path)
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            rows = file.read_row_group(number)
            for at in range(group.num_columns):
                yield group, group.column(at), rows.column(at)


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_the_footer_holds_nothing_but_types_and_places(releases, method):
    for recipient in KEYS:
        for path in releases[method, recipient]:
            file = pq.ParquetFile(path)
            assert file.metadata.metadata is None  # neither Arrow's schema nor pandas' nor anybody's words
            assert file.metadata.created_by == f"parquet-cpp-arrow version {pa.__version__}"
            assert file.schema_arrow.metadata is None
            assert "field_id=-1" in str(file.schema)
            assert not {each.split()[0] for each in str(file.schema).split("field_id=")[1:]} - {"-1"}
        for group, chunk, _ in chunks(releases[method, recipient]):
            assert group.sorting_columns == ()
            assert (chunk.has_column_index, chunk.has_offset_index) == (False, False)  # page borders
            assert (chunk.bloom_filter_offset, chunk.file_path) == (None, "")
            assert chunk.statistics.distinct_count is None


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_row_group_borders_are_those_of_the_form(releases, method):
    """As many rows each, whoever gets it and however values are spread; the last one of all has fewer."""
    for recipient in KEYS:
        sizes = [
            [file.row_group(at).num_rows for at in range(file.num_row_groups)]
            for file in (pq.ParquetFile(each).metadata for each in releases[method, recipient])
        ]
        assert sizes == [[GROUP] * 8, [GROUP] * 7 + [ROWS - 15 * GROUP]]


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_statistics_are_those_of_the_rows_that_stand_there(releases, method):
    for recipient in KEYS:
        for _, chunk, values in chunks(releases[method, recipient]):
            held = [each for each in values.to_pylist() if each is not None]
            assert chunk.statistics.null_count == len(values) - len(held)
            assert chunk.num_values == len(values)
            if chunk.path_in_schema in {"word", "amount", "born"} and held:
                assert (chunk.statistics.min, chunk.statistics.max) == (min(held), max(held))


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_statistics_of_two_recipients_agree_no_more_than_chance(releases, method):
    """Each row group has its own least and greatest `amount`; as rows lay, all of them agreed."""
    extremes = [
        [
            each
            for _, chunk, _ in chunks(releases[method, recipient])
            if chunk.path_in_schema == "amount"
            for each in (("least", chunk.statistics.min), ("most", chunk.statistics.max))
        ]
        for recipient in KEYS
    ]
    agree = sum(one == other for one, other in zip(*extremes, strict=True))
    assert agree <= 8  # of 32; one in eight or so is of the ends of all values
    # nor are the row groups of the one those of the other in another order
    sets = [
        [set(values.to_pylist()) for _, chunk, values in chunks(releases[method, recipient])
         if chunk.path_in_schema == "amount"]
        for recipient in KEYS
    ]  # fmt: skip
    for one in sets[0][:-1]:
        assert max(len(one & other) for other in sets[1]) < GROUP / 2


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_dictionaries_hold_what_occurs_in_the_order_in_which_it_first_does(releases, method):
    for recipient in KEYS:
        for path in releases[method, recipient]:
            file = pq.ParquetFile(path, read_dictionary=["word"])
            for number in range(file.metadata.num_row_groups):
                column = file.read_row_group(number, columns=["word"]).column(0).chunk(0)
                seen = list(dict.fromkeys(each for each in column.to_pylist() if each is not None))
                assert column.dictionary.to_pylist() == seen


@pytest.mark.parametrize("method", ["cmac", "siv", ""])
def test_sizes_of_values_of_one_width_are_those_of_the_form(releases, method):
    """What a chunk of numbers takes before compression is the same for each recipient and full row group."""
    sizes = {
        (chunk.total_uncompressed_size, chunk.encodings)
        for recipient in KEYS
        for group, chunk, _ in chunks(releases[method, recipient])
        if chunk.path_in_schema == "amount" and group.num_rows == GROUP
    }
    assert len(sizes) == 1


# -- what a source carries beside its values -----------------------------------------------------------------

NESTED = pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])


def rows_of(seed):
    draw = random.Random(seed)
    made = [
        {
            "id": at,
            "word": draw.choice(["one", "two", None, "three"]),
            "part": {"a": at % 7, "b": [draw.choice(string.ascii_letters)] * (at % 3)},
            "tags": ["x", None][: at % 3],
            "spot": [at % 5, at % 4],
        }
        for at in range(300)
    ]
    random.Random(0).shuffle(made)
    return made


PLAIN = pa.schema(
    [
        ("id", pa.int64()), ("word", pa.string()), ("part", NESTED), ("tags", pa.list_(pa.string())),
        ("spot", pa.list_(pa.int64(), 2)),
    ]
)  # fmt: skip
NOTED = {b"comment": b"from the payroll", b"PARQUET:field_id": b"77"}


def noted(schema):
    """The same types; each field, also within, has words and a number of its own, some may not be NULL."""

    def field(each):
        return pa.field(each.name, kind(each.type), nullable=each.nullable, metadata=NOTED)

    def kind(arrow):
        if pa.types.is_struct(arrow):
            return pa.struct([field(each).with_nullable(False) for each in arrow])
        if pa.types.is_fixed_size_list(arrow):
            return pa.list_(pa.field("number", arrow.value_type, metadata=NOTED), arrow.list_size)
        if pa.types.is_list(arrow):
            return pa.list_(pa.field("piece", arrow.value_type, metadata=NOTED))
        return arrow

    return pa.schema([field(each) for each in schema], metadata={b"pandas": b"{}", b"owner": b"Mary"})


def large(schema):
    def kind(arrow):
        if pa.types.is_struct(arrow):
            return pa.struct([(each.name, kind(each.type)) for each in arrow])
        if pa.types.is_list(arrow):
            return pa.list_(kind(arrow.value_type))
        return pa.large_string() if pa.types.is_string(arrow) else arrow

    return pa.schema([(each.name, kind(each.type)) for each in schema])


SOURCES = {
    "plain": (PLAIN, {}),
    "words and numbers of fields": (noted(PLAIN), {}),
    "not null": (pa.schema([PLAIN.field(0).with_nullable(False), *list(PLAIN)[1:]]), {}),
    "without Arrow's schema": (PLAIN, {"store_schema": False}),
    "old lists": (PLAIN, {"use_compliant_nested_type": False}),
    "indices, order and bloom": (
        PLAIN,
        {"write_page_index": True, "sorting_columns": [pq.SortingColumn(0)], "data_page_version": "2.0"},
    ),
    "no statistics": (PLAIN, {"write_statistics": False, "compression": "none", "version": "1.0"}),
    "small pages": (PLAIN, {"data_page_size": 64, "row_group_size": 31, "use_dictionary": False}),
    "dictionaries": (
        pa.schema([each if each.name != "word" else pa.field("word", pa.dictionary(pa.int8(), pa.string()))
                   for each in PLAIN]),
        {},
    ),
}  # fmt: skip


def released(folder, rows, schema, options):
    folder.mkdir()
    data = folder / "data"
    data.mkdir()
    whole = pa.Table.from_pylist(rows, schema=PLAIN).cast(schema)
    pq.write_table(whole, data / "a.parquet", **options)
    opened = open_files("t", files_of(data), len(schema))
    source = SourceTable("t", opened.files, BATCH, opened.encoded)
    for name in ("parts", "rows"):
        (folder / name).mkdir()
    domain = plan_of("cmac")
    plan = ReductionPlan(
        (domain.columns[0], *(ColumnPlan(each, "raw") for each in schema.names[1:])),
        domain.domain, domain.secret,
    )  # fmt: skip
    job = Job(
        str(folder / "parts"),
        str(folder / "rows"),
        "parquet",
        {"t": plan},
        {"t": TableOrder(b"k" * 16, "id")},
    )
    reduced = [reduce_part(job, each) for each in parts_of(source)]
    files = tuple(file for each in reduced for file in each.files)
    written = [
        write_release_part(job, ReleasePart(source, each.number, each.first, each.rows, each.id, files))
        for each in parts_of(source)
    ]
    return [folder / "parts" / each.file for each in written]


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_of_how_a_source_was_written_is_passed_on(tmp_path, name):
    """Its own words, numbers of fields, names of items, order, indices and page sizes stay where they are."""
    rows = rows_of(3)
    expected = content(released(tmp_path / "plain", rows, *SOURCES["plain"]))
    order = np.random.default_rng(5).permutation(len(rows))
    schema, options = SOURCES[name]
    got = content(released(tmp_path / "other", [rows[at] for at in order], schema, options))
    for one in got:
        assert b"payroll" not in one
        assert b"Mary" not in one
    assert got == expected
