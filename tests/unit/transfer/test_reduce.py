"""The reduction of a batch: equal to the kernels by themselves, however rows are cut or encoded."""

import pickle
import random
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from ringfort.disclosure.forms_sql import rendering
from ringfort.errors import RingfortError
from ringfort.policy.forms import Form
from ringfort.privacy.columns import render
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret
from ringfort.privacy.methods import pseudonymise
from ringfort.privacy.pseudonym import Domain
from ringfort.transfer.reduce import ColumnPlan, ReductionError, ReductionPlan, reduce_batch

DOMAIN = Domain("Acme", "analysis", 1)
SECRET = EpochSecret(bytes(range(32)), NEWEST)


def plan(*columns):
    return ReductionPlan(columns, DOMAIN, SECRET)


KEY = ColumnPlan("id", "pseudonym", "key", method="cmac", identity_space="people")
BORN = ColumnPlan("born", "render", "birth_date", function="born_date_v2")
NOTE = ColumnPlan("note", "raw")


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


def plainly(column):
    """The values themselves, as texts that few forms make come in dictionaries."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def function(name):
    """The function's present version."""
    from ringfort.privacy.form_rules import versioned

    return versioned(name)


def test_each_column_is_reduced_by_its_kernel_and_others_are_not_read():
    values = batch(
        extra=pa.array(["x", "y"]),
        id=pa.array([1, None], pa.int64()),
        born=pa.array([date(1984, 5, 6), None]),
        note=pa.array(["a", None]),
    )
    made = reduce_batch(plan(KEY, ColumnPlan("born", "render", function=function("born_date")), NOTE), values)
    assert made.schema.names == ["id", "born", "note"]
    expected = pseudonymise(
        values.column("id"), method="cmac", kind="key", secret=SECRET, domain=DOMAIN, identity_space="people"
    )
    assert made.column(0).type == pa.uuid()
    assert made.column(0).storage.equals(expected)
    assert plainly(made.column(1)).equals(render(function("born_date"), values.column("born")))
    assert made.column(2).equals(values.column("note"))


def test_a_plan_travels_and_does_not_show_its_secret():
    made = plan(KEY)
    assert pickle.loads(pickle.dumps(made)) == made
    assert SECRET.value.hex() not in repr(made)
    assert repr(SECRET.value) not in repr(made)


@pytest.mark.parametrize("nulls", [False, True])
def test_a_dictionary_gives_what_its_values_give_and_stays_small(nulls):
    dense = pa.array(["IE", "FR", "FR", None if nulls else "US", "DE", "FR"])
    encoded = dense.dictionary_encode()
    columns = (ColumnPlan("c", "render", function=function("general_country")),)
    plain = reduce_batch(plan(*columns), batch(c=dense)).column(0)
    small = reduce_batch(plan(*columns), batch(c=encoded)).column(0)
    assert pa.types.is_dictionary(small.type)
    assert plainly(small).equals(plainly(plain))
    assert len(set(small.dictionary.to_pylist())) == len(small.dictionary)


def test_a_dictionary_with_surplus_and_nulls_is_read_as_its_values():
    indices = pa.array([0, 0, 2, None], pa.int8())
    values = pa.DictionaryArray.from_arrays(indices, pa.array(["IE", "US", "FR"]))
    column = ColumnPlan("c", "raw")
    made = reduce_batch(plan(column), batch(c=values)).column(0)
    assert made.to_pylist() == ["IE", "IE", "FR", None]
    assert "US" not in made.dictionary.to_pylist()
    holed = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1]), pa.array(["IE", None]))
    assert reduce_batch(plan(column), batch(c=holed)).column(0).to_pylist() == ["IE", None, None]


def test_keys_in_a_dictionary_have_the_same_pseudonyms():
    dense = pa.array(["a", "b", "a", None])
    column = ColumnPlan("id", "pseudonym", "name", method="cmac", identity_space="people")
    plain = reduce_batch(plan(column), batch(id=dense)).column(0)
    assert reduce_batch(plan(column), batch(id=dense.dictionary_encode())).column(0).equals(plain)


def test_a_numeric_that_came_as_text_has_the_pseudonym_of_its_number():
    column = ColumnPlan(
        "id", "pseudonym", "key", method="cmac", identity_space="people", exact=pa.decimal128(12, 2)
    )
    texts = reduce_batch(plan(column), batch(id=pa.array(["17.00", "18.00"]))).column(0)
    whole = reduce_batch(plan(KEY), batch(id=pa.array([17, 18], pa.int64()))).column(0)
    assert texts.equals(whole)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 2**31 - 1], pa.int32()).view(pa.date32()),
        pa.array([0, -(2**63)], pa.int64()).view(pa.timestamp("us")),
    ],
)
def test_what_no_calendar_has_does_not_leave_raw(values):
    with pytest.raises(ReductionError, match="infinite dates or times in 1 rows"):
        reduce_batch(plan(ColumnPlan("at", "raw")), batch(at=values))
    fine = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert reduce_batch(plan(ColumnPlan("at", "raw")), batch(at=fine)).num_rows == 1


def test_a_value_that_does_not_fit_its_type_is_told_without_it():
    column = ColumnPlan(
        "id", "pseudonym", "key", method="cmac", identity_space="p", exact=pa.decimal128(4, 2)
    )
    with pytest.raises(ReductionError) as caught:
        reduce_batch(plan(column), batch(id=pa.array(["123456.789"])))
    assert "123456" not in caught.value.message
    assert "`id`" in caught.value.message


def test_no_domain_no_pseudonym():
    with pytest.raises(ReductionError, match="there is no domain"):
        reduce_batch(ReductionPlan((KEY,)), batch(id=pa.array([1])))


def many(values, arrow, seed):
    """The values again and again, so that each is reduced once."""
    draw = random.Random(seed)
    return pa.array([draw.choice(values) for _ in range(5_000)], arrow)


REPEATED = {
    "floats": (pa.float64(), [0.0, -0.0, 1.5, -1.5, float("nan"), float("inf"), 12345.678, None]),
    "short floats": (pa.float32(), [0.0, -0.0, 2.5, float("nan"), None]),
    "numbers": (pa.int64(), [0, -1, 37, 2**63 - 1, None]),
    "days": (pa.date32(), [date(1984, 5, 6), date(1, 1, 1), None]),
    "times": (pa.timestamp("us"), [datetime(2010, 12, 1, 8, 26), datetime(1969, 12, 31), None]),  # noqa: DTZ001
    "zoned": (pa.timestamp("us", "UTC"), [datetime(2010, 12, 1, 8, 26, tzinfo=UTC), None]),
    "texts": (pa.string(), ["Mary Smith", "", " ", "0", None]),
    "long texts": (pa.large_string(), ["Mary Smith", "", None]),
    "only nulls": (pa.int64(), [None]),
}
FORMS = [
    ColumnPlan("x", "pseudonym", "key", method="cmac", identity_space="people"),
    ColumnPlan("x", "pseudonym", "key", method="siv", identity_space="people"),
    *(
        ColumnPlan("x", "render", kind, found.function, found.cast)
        for form, kind, type_ in [
            (Form.MASKED, "name", "text"), (Form.GENERALISED, "amount", "double precision"),
            (Form.GENERALISED, "timestamp", "timestamp without time zone"), (Form.MASKED, "code", "text"),
        ]
        for found in [rendering(form, kind, type_)]
    ),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.method or each.function)
@pytest.mark.parametrize("name", REPEATED)
def test_what_repeats_is_reduced_as_if_it_stood_alone(name, form):
    arrow, values = REPEATED[name]
    whole = many(values, arrow, name)
    try:
        expected = [reduce_batch(plan(form), batch(x=whole.slice(at, 1))).column(0) for at in range(60)]
    except (ReductionError, RingfortError) as refused:
        with pytest.raises(type(refused)):
            reduce_batch(plan(form), batch(x=whole))
        return
    made = plainly(reduce_batch(plan(form), batch(x=whole)).column(0))
    assert made.null_count >= whole.null_count
    assert made.slice(0, 60).to_pylist() == [plainly(each).to_pylist()[0] for each in expected]
