import pytest

from ringfort.pgwire import evidence
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.frontend import (
    Bind,
    Execute,
    Parse,
    read_bind,
    read_execute,
    read_parse,
    serialise_frontend,
)


def test_a_simple_statement():
    read = evidence.read_evidence(evidence.simple(b"SELECT 'x'"))
    assert (read.kind, read.sql) == ("simple", b"SELECT 'x'")


def test_an_extended_statement_carries_its_values():
    parse = serialise_frontend(Parse(b"s", b"SELECT $1", (25,)))
    bind = serialise_frontend(Bind(b"p", b"s", (0,), (b"value",), (1,)))
    execute = serialise_frontend(Execute(b"p", 10))
    _, sql, types = read_parse(parse, 5, len(parse))
    _, _, at = read_bind(bind, 5, len(bind))
    _, rows = read_execute(execute, 5, len(execute))
    plain = evidence.bound(evidence.prefix(sql, types), bind[at:]) + rows
    read = evidence.read_evidence(plain)
    assert (read.kind, read.sql, read.types, read.rows) == ("extended", b"SELECT $1", types, rows)
    assert b"value" in read.bind


@pytest.mark.parametrize("data", [b"", b"X", b"E", b"E\0\0\0\x05ab", b"P\0\0\0\x01a\0\0x"])
def test_what_is_no_evidence_is_refused(data):
    with pytest.raises(ProtocolViolationError):
        evidence.read_evidence(data)
