"""Parts and batches are fixed rows of a table, however its files are cut."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.transfer.manifest import MANIFEST, PROOF, check_paths
from ringfort.transfer.seal import COSIGNATURE
from ringfort.transfer.source import (
    SourceChangedError,
    SourceTable,
    batch_rows,
    check_unchanged,
    clashes,
    files_of,
    open_files,
    parts_of,
    read_part,
    safe_name,
)

ROWS = 5_000


def table(rows=ROWS):
    return pa.table(
        {
            "n": pa.array(range(rows), pa.int64()),
            "word": pa.array([f"w{each % 7}" for each in range(rows)], pa.string()),
            "own": pa.array([f"value {each} of many" for each in range(rows)], pa.string()),
        }
    )


def source(paths, rows):
    opened = open_files("t", paths, 3)
    return SourceTable(opened.name, opened.files, rows, opened.encoded)


def batches(found):
    return [each for part in parts_of(found) for each in read_part(part, ["n", "word", "own"])]


def plain(batch):
    return pa.Table.from_batches([batch]).cast(table(0).schema)


@pytest.mark.parametrize("cuts", [[ROWS], [1, ROWS - 1], [1_700, 0, 1_300, 2_000], [512] * 9 + [392]])
@pytest.mark.parametrize("groups", [64, 300, 100_000])
def test_batches_are_the_same_however_files_are_cut(tmp_path, cuts, groups):
    whole = table()
    at = 0
    for number, rows in enumerate(cuts):
        pq.write_table(whole.slice(at, rows), tmp_path / f"{number:03d}.parquet", row_group_size=groups)
        at += rows
    found = source(files_of(tmp_path), 256)
    made = batches(found)
    assert [each.num_rows for each in made] == [256] * (ROWS // 256) + [ROWS % 256]
    assert pa.concat_tables([plain(each) for each in made]).equals(whole)


def test_what_repeats_comes_as_a_dictionary(tmp_path):
    pq.write_table(table(), tmp_path / "a.parquet")
    first = batches(source([tmp_path / "a.parquet"], 4_096))[0]
    assert pa.types.is_dictionary(first.schema.field("word").type)
    assert not pa.types.is_dictionary(first.schema.field("own").type)


def test_a_table_without_rows_has_one_part(tmp_path):
    pq.write_table(table(0), tmp_path / "a.parquet")
    found = source([tmp_path / "a.parquet"], 256)
    (part,) = parts_of(found)
    assert (part.rows, list(read_part(part, ["n"]))) == (0, [])


def test_a_file_that_changes_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    found = source([path], 256)
    check_unchanged(found)
    pq.write_table(table(10), path)
    with pytest.raises(SourceChangedError):
        check_unchanged(found)
    path.unlink()
    for look in (lambda: check_unchanged(found), lambda: list(read_part(parts_of(found)[0], ["n"]))):
        with pytest.raises(MissingEnvironmentError, match=r"a\.parquet`, which .* reads, .*: no such"):
            look()


def test_a_file_that_ends_too_early_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table(5_000), path, compression="none")
    whole = source([path], 256)
    data = bytearray(path.read_bytes())
    data[100 : len(data) // 2] = bytes(len(data) // 2 - 100)
    path.write_bytes(data)
    with pytest.raises(SourceChangedError, match=r"a\.parquet` has changed"):
        list(read_part(parts_of(whole)[0], ["n"]))
    with pytest.raises(UsageError, match=r"a\.parquet` is damaged"):
        list(read_part(parts_of(source([path], 256))[0], ["n"]))


ODD_NAMES = (
    "manifest.note", "MANIFEST.note", "manifest.tlog-proof", "cosignature.note", "manifest.json",
    ".", "..", "...", "", " ", "CON", "con", "nul.txt", "COM1", "lpt9.parquet", "ends.", "x" * 5_000,
    "a/b", "a\\b", "a\0b", "a\nb", "\u00e9" * 300, "~", "-", "%", "a%2Fb", "\ud7ff\U0010ffff", "Orders",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_table_of_any_name_has_a_folder_beside_what_a_release_has(tmp_path, name):
    made = safe_name(name)
    assert len(made) <= 160
    assert made.lower() not in {MANIFEST, PROOF, COSIGNATURE, ".", "..", ""}
    assert made.partition(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}
    assert not made.endswith(".")
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%_.~-")
    (tmp_path / made).mkdir()
    (tmp_path / f"{made}-00000.parquet").touch()
    check_paths([f"{made}/part-00000.parquet.sealed"])


def test_names_differ_or_clash():
    assert clashes(ODD_NAMES) == ("manifest.note", "MANIFEST.note")
    assert clashes(["Orders", "customers", "orders"]) == ("Orders", "orders")
    assert clashes(each for each in ODD_NAMES if each not in {"MANIFEST.note", "con"}) is None


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UsageError, match="nothing at"):
        files_of(tmp_path / "none")
    with pytest.raises(UsageError, match="no Parquet file"):
        files_of(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(UsageError, match="no Parquet file that can be read"):
        open_files("t", files_of(tmp_path), 3)
    pq.write_table(table(3), tmp_path / "a.parquet")
    pq.write_table(table(3).drop(["own"]), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="other columns"):
        open_files("t", files_of(tmp_path), 3)


def test_names_are_one_component_of_a_path():
    for name in ("orders", "..", ".", "a/b", "../../etc", "Größe", "a%2Fb", ".hidden", "a\\b", "a\nb"):
        made = safe_name(name)
        assert "/" not in made
        assert not made.startswith(".")
        assert made.isascii()
    assert len({safe_name(each) for each in ("a/b", "a%2Fb", "a%252Fb")}) == 3


def test_wide_tables_have_shorter_batches():
    assert batch_rows(1) == batch_rows(32) > batch_rows(64) > batch_rows(1_600) >= 2_048
