"""COPY BINARY decoded: rows made by hand from the manual's formats; what is no row is refused."""

import struct
import uuid
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from ringfort.sites.copy_out import CopyError, Decoder, SiteColumn

COLUMNS = [
    SiteColumn("flag", "boolean"),
    SiteColumn("small", "smallint"),
    SiteColumn("big", "bigint"),
    SiteColumn("ratio", "double precision"),
    SiteColumn("day", "date"),
    SiteColumn("at", "timestamp without time zone"),
    SiteColumn("instant", "timestamp with time zone"),
    SiteColumn("id", "uuid"),
    SiteColumn("text", "character varying(20)"),
    SiteColumn("amount", "numeric(12,2)"),
    SiteColumn("raw", "bytea"),
]
UUID = uuid.UUID(int=2**120 + 7)


def field(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def row(*fields):
    return struct.pack(">h", len(fields)) + b"".join(map(field, fields))


FULL = row(
    b"\1", struct.pack(">h", -2), struct.pack(">q", 2**62), struct.pack(">d", 0.5), struct.pack(">i", 31),
    struct.pack(">q", 1_000_001), struct.pack(">q", -1), UUID.bytes, "é€".encode(), b"-3.50", b"\0\xff",
)  # fmt: skip
EMPTY = row(*[None] * len(COLUMNS))


def test_every_type_comes_as_the_manual_says():
    made = Decoder(COLUMNS).decode([FULL, EMPTY, FULL])
    first, nothing, again = made.to_pylist()
    assert first == again
    assert set(nothing.values()) == {None}
    assert first == {
        "flag": True, "small": -2, "big": 2**62, "ratio": 0.5, "day": date(2000, 2, 1),
        "at": datetime(2000, 1, 1, 0, 0, 1, 1),  # noqa: DTZ001
        "instant": datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "id": UUID.bytes, "text": "é€", "amount": "-3.50", "raw": b"\0\xff",
    }  # fmt: skip
    assert made.schema.field("text").type == pa.string()


def test_infinities_are_the_ends_of_the_range():
    columns = [SiteColumn("day", "date"), SiteColumn("at", "timestamp with time zone")]
    rows = [
        row(struct.pack(">i", 2**31 - 1), struct.pack(">q", -(2**63))),
        row(struct.pack(">i", -(2**31)), struct.pack(">q", 2**63 - 1)),
    ]
    made = Decoder(columns).decode(rows)
    assert made.column(0).view(pa.int32()).to_pylist() == [2**31 - 1, -(2**31)]
    assert made.column(1).view(pa.int64()).to_pylist() == [-(2**63), 2**63 - 1]


def test_no_rows_are_an_empty_batch():
    made = Decoder(COLUMNS).decode([])
    assert (made.num_rows, made.schema.names) == (0, [each.name for each in COLUMNS])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        row(b"\1"),
        FULL[:-1],
        FULL + b"\0",
        FULL[:40],
        row(*[b"x" * 3] * len(COLUMNS)),
        FULL[:2] + struct.pack(">i", 2**31 - 1) + FULL[6:],
    ],
)
def test_what_is_no_row_is_refused(data):
    with pytest.raises(CopyError):
        Decoder(COLUMNS).decode([FULL, data])


def test_what_has_no_arrow_type_is_asked_for_as_text():
    for data_type in (
        "jsonb",
        "text[]",
        "interval",
        "money",
        "inet",
        "numeric",
        "character(3)",
        "mood",
    ):
        assert SiteColumn("c", data_type).arrow == pa.string()
        assert SiteColumn("c", data_type).expression.as_string(None) != '"c"'
