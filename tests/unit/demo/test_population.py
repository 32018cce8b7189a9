"""The demo population: the same for the same seed, whole, and as large as it says."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ringfort.demo.population import FOREIGN_KEYS, PRIMARY_KEYS, SCHEMAS, SINCE, UNTIL, generate, row_counts
from ringfort.errors import UsageError

PEOPLE = 2_000


@pytest.fixture(scope="module")
def tables():
    return generate(PEOPLE, 7, None)


def as_bytes(tables):
    sink = pa.BufferOutputStream()
    for table in tables.values():
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_same_seed_same_bytes(tables):
    assert as_bytes(generate(PEOPLE, 7, None)) == as_bytes(tables)


def test_other_seed_other_people(tables):
    other = generate(PEOPLE, 8, None)
    for column in ("name", "email", "phone", "ip", "created_at"):
        assert other["people"][column].to_pylist() != tables["people"][column].to_pylist()


def test_tables_have_the_declared_schemas_and_sizes(tables):
    assert list(tables) == list(SCHEMAS)
    assert {name: table.num_rows for name, table in tables.items()} == row_counts(PEOPLE)
    for name, table in tables.items():
        assert table.schema.equals(SCHEMAS[name])
        table.validate(full=True)
        for field in table.schema:
            assert field.nullable or table[field.name].null_count == 0


def test_keys_are_unique_and_references_exist(tables):
    for name, (key,) in PRIMARY_KEYS.items():
        assert tables[name][key].to_pylist() == list(range(1, tables[name].num_rows + 1))
    for name, keys in FOREIGN_KEYS.items():
        for key in keys:
            table, column = key.references
            assert pc.all(pc.is_in(tables[name][key.column], tables[table][column])).as_py()


def moments(table, column):
    return table[column].cast(pa.int64()).to_numpy()


def test_nothing_happens_before_its_actors_joined(tables):
    joined = moments(tables["people"], "created_at")
    published = moments(tables["videos"], "created_at")
    for name, column, actors in (
        ("videos", "created_at", ["person_id"]),
        ("views", "watched_at", ["person_id"]),
        ("messages", "sent_at", ["sender_id", "recipient_id"]),
        ("payments", "paid_at", ["person_id"]),
    ):
        at = moments(tables[name], column)
        assert np.all(np.diff(at) >= 0)  # ids are in the order of time
        for actor in actors:
            assert np.all(at >= joined[tables[name][actor].to_numpy() - 1])
    views = tables["views"]
    assert np.all(moments(views, "watched_at") >= published[views["video_id"].to_numpy() - 1])
    times = [pc.min_max(tables[t][c]).as_py() for t, c in (("people", "created_at"), ("views", "watched_at"))]
    assert all(SINCE <= each["min"] <= each["max"] < UNTIL for each in times)
    assert datetime(2019, 3, 1, tzinfo=UTC) == SINCE


def test_nobody_watches_longer_than_the_video_or_writes_to_themselves(tables):
    views, messages = tables["views"], tables["messages"]
    length = tables["videos"]["seconds"].to_numpy()[views["video_id"].to_numpy() - 1]
    assert np.all(views["watch_seconds"].to_numpy() <= length)
    assert np.all(views["watch_seconds"].to_numpy() >= 1)
    assert np.all(messages["sender_id"].to_numpy() != messages["recipient_id"].to_numpy())


def test_few_videos_get_most_views_and_few_people_watch_most(tables):
    def share_of_top_tenth(values, total):
        counts = np.sort(np.bincount(values, minlength=total + 1))[::-1]
        return counts[: total // 10].sum() / counts.sum()

    views, videos = tables["views"], tables["videos"]
    assert share_of_top_tenth(views["video_id"].to_numpy(), videos.num_rows) > 0.5
    assert 0.25 < share_of_top_tenth(views["person_id"].to_numpy(), PEOPLE) < 0.8
    assert share_of_top_tenth(videos["person_id"].to_numpy(), PEOPLE) > 0.8


def test_progress_grows_to_the_whole():
    seen = []
    generate(50, 1, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum(row_counts(50).values())


@pytest.mark.parametrize("people", [1, 2, 3, 17])
def test_small_populations(people):
    tables = generate(people, 3)
    assert {name: table.num_rows for name, table in tables.items()} == row_counts(people)


@pytest.mark.parametrize(("people", "seed"), [(0, 1), (-5, 1), (3_000_000, 1), (10, -1)])
def test_impossible_populations_are_refused(people, seed):
    with pytest.raises(UsageError) as caught:
        generate(people, seed)
    assert caught.value.hint
