"""Batches made by several threads: all of them come, a fault comes as it is, and nobody is left behind."""

import threading

import pyarrow as pa
import pytest

from ringfort.transfer.beside import beside


def source(number, batches, fault=None):
    for at in range(batches):
        yield pa.RecordBatch.from_pydict({"source": [number], "at": [at]})
    if fault is not None:
        raise fault


def names():
    return [each.name for each in threading.enumerate() if each.name.startswith("ringfort-beside")]


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("sources", [0, 1, 5])
def test_every_batch_comes_once_and_each_source_in_order(sources, threads):
    made = beside((source(number, 30) for number in range(sources)), threads)
    got = [(each.column("source")[0].as_py(), each.column("at")[0].as_py()) for each in made]
    assert sorted(got) == [(number, at) for number in range(sources) for at in range(30)]
    for number in range(sources):
        assert [at for which, at in got if which == number] == list(range(30))
    assert not names()


def test_a_fault_comes_as_it_is_and_ends_the_others():
    fault = ValueError("of the source")
    made = beside((source(number, 1_000, fault if number == 1 else None) for number in range(3)), 2)
    with pytest.raises(ValueError, match="of the source") as raised:
        list(made)
    assert raised.value is fault
    assert not names()


def test_who_stops_in_the_middle_leaves_no_thread():
    made = beside((source(number, 1_000) for number in range(3)), 2)
    next(made)
    made.close()
    assert not names()
