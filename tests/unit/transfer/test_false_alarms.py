"""How often names are found where there are none: in real descriptions of goods, and in messages."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.privacy.inspected import KEY

from ringfort.demo.population import generate
from ringfort.privacy.fingerprint import FingerprintBuilder
from ringfort.privacy.fingerprint_match import Matcher


@pytest.fixture(scope="module")
def population():
    return generate(4_000, 11)


@pytest.fixture(scope="module")
def known(population):
    builder = FingerprintBuilder(KEY)
    builder.add_rows([("name", population["people"]["name"].combine_chunks())])
    return Matcher(builder.finish().fingerprints)


def alarms(matcher, texts):
    rows = set()
    for each in matcher.texts(texts):
        rows |= set(each.rows[each.kinds >= 0].tolist())
    return len(rows)


def test_no_name_is_found_among_goods(known, retail_parquet):
    goods = pq.read_table(retail_parquet, columns=["Description"]).column(0)
    assert alarms(known, goods.combine_chunks().drop_null().unique()) == 0


def test_few_are_found_where_people_are_called_by_their_given_names(population, known):
    bodies = population["messages"]["body"].combine_chunks().drop_null().unique()
    without = pa.array([re.sub(r"\S+@\S+", "", each) for each in bodies.to_pylist()])
    assert alarms(known, without) <= len(without) / 500
