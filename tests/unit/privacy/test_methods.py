"""The door for columns of pseudonyms: what fits, what is refused, what comes back."""

import datetime as dt
import uuid

import pyarrow as pa
import pytest

from ringfort.catalog.model import KINDS
from ringfort.errors import UsageError
from ringfort.privacy import methods
from ringfort.privacy.epoch_keys import NEWEST, EpochSecret, derive_key
from ringfort.privacy.pseudonym import Domain, Pseudonymiser, pseudonym_type

SECRET = EpochSecret(bytes(range(32)), NEWEST)
OTHER = EpochSecret(bytes(32), NEWEST)
DOMAIN = Domain("ACME Ltd", "analytics", 3)
SPACE = "shop.customers.id"


def made(values, method="cmac", kind="key", **others):
    given = {"secret": SECRET, "domain": DOMAIN, "identity_space": SPACE} | others
    return methods.pseudonymise(values, method=method, kind=kind, **given)


def back(values, method="cmac", kind="key", **others):
    given = {"secret": SECRET, "domain": DOMAIN, "identity_space": SPACE} | others
    return methods.resolve(values, method=method, kind=kind, **given)


def test_cmac_is_what_the_database_shows():
    values = pa.array([1, None, 3])
    kernel = Pseudonymiser(derive_key(SECRET, DOMAIN, SPACE, "number"), "number")
    assert made(values).equals(kernel.column(values))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, None, -7, 2**63 - 1]),
        pa.array([dt.date(1984, 2, 29), None, dt.date(9999, 12, 31)]),
        pa.array([2**60 + 1, None, -1], pa.timestamp("us")),
        pa.array([2**60 + 1, None, -1], pa.timestamp("us", "UTC")),
        pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16)),
    ],
    ids=lambda values: str(values.type),
)
def test_what_is_one_block_comes_back(values):
    kind = pseudonym_type(values.type)
    assert back(made(values), pseudonym_type=kind).equals(values)
    if kind != "uuid":
        other = back(made(values), pseudonym_type=kind, identity_space="another")
        assert other.null_count == len(values)


def test_a_text_does_not_come_back_from_a_mac():
    with pytest.raises(UsageError):
        back(made(pa.array(["x"])), pseudonym_type="text")


def test_a_column_without_any_value():
    assert made(pa.nulls(3)).equals(pa.nulls(3, pa.binary(16)))


def test_every_kind_of_the_catalogue_is_admitted_or_refused_on_purpose():
    listed = methods.CMAC_KINDS | methods.SIV_KINDS | {"flag", "gender", "age", "country"}
    assert listed == KINDS
    assert methods.FF1_KINDS.keys() <= KINDS
    for kind in KINDS:
        for method in methods.METHODS:
            if (
                kind
                in {"cmac": methods.CMAC_KINDS, "ff1": methods.FF1_KINDS, "siv": methods.SIV_KINDS}[method]
            ):
                methods.check(method, kind)
            else:
                with pytest.raises(UsageError):
                    methods.check(method, kind)


def test_no_such_method_or_type():
    with pytest.raises(UsageError, match="no pseudonymisation method `rot13`"):
        made(pa.array(["x"]), method="rot13")
    with pytest.raises(UsageError):
        made(pa.array([True]))


def test_siv_gives_text_back_and_nothing_else():
    values = pa.chunked_array([pa.array(["Zo\u00eb", None]), pa.array(["", "Zoe\u0308"])])
    got = made(values, "siv", "name")
    assert got.type == methods.output_type("siv")
    assert back(got, "siv", "name").to_pylist() == values.to_pylist()
    assert back(got, "siv", "name", identity_space="another").null_count == 4
    assert back(got, "siv", "name", domain=Domain("ACME Ltd", "analytics", 4)).null_count == 4
    assert back(got, "siv", "name", secret=OTHER).null_count == 4
    assert made(pa.nulls(2), "siv", "name").equals(pa.nulls(2, pa.string()))
    for wrong in (pa.array([1]), pa.array([b"x"])):
        with pytest.raises(UsageError, match="takes text"):
            made(wrong, "siv", "name")
        with pytest.raises(UsageError, match="takes text"):
            back(wrong, "siv", "name")


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("phone", ["+353 85 123 4567", None, "n/a", "085 123 4567"]),
        ("card", ["4111 1111 1111 1111", None, "n/a", "378282246310005"]),
        ("iban", ["IE29 AIBK 9311 5212 3456 78", None, "n/a", "de89370400440532013000"]),
        ("national_id", ["1234567TW", None, "n/a", "800101-1234"]),
    ],
)
def test_ff1_keeps_the_format_and_comes_back(kind, texts):
    values = pa.array(texts)
    got = made(values, "ff1", kind)
    assert got.type == methods.output_type("ff1")
    assert got.is_valid().to_pylist() == [True, False, False, True]
    assert [each and len(each) for each in got.to_pylist()] == [len(texts[0]), None, None, len(texts[3])]
    expected = [texts[0], None, None, texts[3]]
    assert back(got, "ff1", kind).to_pylist() == expected
    for other in ({"identity_space": "another"}, {"secret": OTHER}, {"domain": Domain("ACME Ltd", "x")}):
        assert back(got, "ff1", kind, **other).to_pylist()[0] != texts[0]
    assert made(values.dictionary_encode(), "ff1", kind).equals(got)


@pytest.mark.parametrize(
    "arrow", [pa.int64(), pa.uint32(), pa.decimal128(20, 0), pa.dictionary(pa.int8(), pa.int64())]
)
def test_ff1_takes_whole_numbers_as_their_digits(arrow):
    values = pa.array([353851234567, None, 12345], pa.int64())
    if arrow == pa.uint32():
        values = pa.array([4294967295, None, 12345], pa.int64())
    stored = values.dictionary_encode() if pa.types.is_dictionary(arrow) else values.cast(arrow)
    got = made(stored, "ff1", "key")
    assert got.equals(made(pa.array([str(values[0].as_py()), None, "12345"]), "ff1", "key"))
    assert got.null_count == 2  # five digits are less than a million values
    assert back(got, "ff1", "key").to_pylist() == [str(values[0].as_py()), None, None]


def test_ff1_refuses_other_types():
    for wrong in (pa.array([1.5]), pa.nulls(1, pa.decimal128(9, 2)), pa.nulls(1, pa.date32())):
        with pytest.raises(UsageError, match="takes text"):
            made(wrong, "ff1", "key")
