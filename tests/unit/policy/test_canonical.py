import pytest
import rfc8785

from ringfort.policy.canonical import canonical_bytes, parse_canonical


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [True, None, "x"]},
        {"z": 'é\u2028\x7f\x1f\n\t"\\/€😀', "Z": {"a2": 0, "a10": -7}},
        [],
        "",
    ],
)
def test_bytes_are_those_of_rfc_8785(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)
    assert parse_canonical(canonical_bytes(value)) == value


@pytest.mark.parametrize("value", [1.5, 2**53, {"é": 1}, {1: 2}, b"", {"a": {1, 2}}, "\ud800"])
def test_what_lies_outside_is_refused(value):
    with pytest.raises(ValueError):
        canonical_bytes(value)


@pytest.mark.parametrize(
    "raw", [b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b"{", b'"\xff"', b"NaN", b"[" * 9999]
)
def test_other_bytes_are_refused(raw):
    with pytest.raises(ValueError):
        parse_canonical(raw)
