import pytest

from ringfort.pgwire import backend as be
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.exchange import UNSETTLED, Exchange

READY = be.ReadyForQuery(b"I")
ROW = be.DataRow((b"12345",))
DONE = be.CommandComplete(b"SELECT 1")
OURS = be.error_response("ERROR", "42501", "refused")


def wire(*items):
    return b"".join(map(be.serialise_backend, items))


def error(sqlstate=b"22012", severity=b"ERROR"):
    return be.ErrorResponse({"S": severity, "V": severity, "C": sqlstate, "M": b"division by zero"})


def given(exchange, *items):
    return b"".join(exchange.receive(wire(*items)))


def test_a_query_ends_at_ready_for_query():
    exchange = Exchange()
    exchange.query(7)
    answer = wire(be.RowDescription(()), ROW, ROW, DONE, be.ReadyForQuery(b"T"))
    assert exchange.receive(answer) == [answer]  # passed on as it is
    assert exchange.ended == [(7, 2, 2 * len(wire(ROW)), "complete")]
    assert (exchange.quiet, exchange.status) == (True, ord("T"))


def test_executes_end_one_by_one():
    exchange = Exchange()
    exchange.parse(b"", "S")
    exchange.bind(b"", "P")
    exchange.execute(1)
    exchange.execute(2)
    exchange.execute(3)
    exchange.sync()
    given(exchange, be.Simple(b"1"), be.Simple(b"2"), ROW, be.Simple(b"s"), ROW, ROW, DONE)
    given(exchange, be.EmptyQueryResponse(), READY)
    assert [(number, rows, how) for number, rows, _, how in exchange.ended] == [
        (1, 1, "suspended"),
        (2, 2, "complete"),
        (3, 0, "complete"),
    ]


def test_an_error_skips_to_sync_and_undoes_names():
    exchange = Exchange()
    exchange.parse(b"kept", "old")
    exchange.sync()
    given(exchange, be.Simple(b"1"), READY)
    exchange.parse(b"new", "S")
    exchange.bind(b"p", "P")
    exchange.execute(1)
    exchange.close_statement(b"kept")
    exchange.execute(2)
    assert exchange.statement(b"kept") is None
    given(exchange, be.Simple(b"1"), error())
    assert exchange.skipping
    assert [(number, how) for number, _, _, how in exchange.ended] == [(1, "skipped"), (2, "skipped")]
    assert exchange.statement(b"kept") == "old"
    assert exchange.statement(b"new") == "S"
    assert exchange.portal(b"p") is None
    exchange.sync()
    assert not exchange.skipping
    given(exchange, READY)
    assert exchange.quiet


def test_the_failing_execute_is_told_from_the_skipped_ones():
    exchange = Exchange()
    exchange.execute(1)
    exchange.execute(2)
    exchange.sync()
    given(exchange, ROW, error(), READY)
    assert [(number, rows, how) for number, rows, _, how in exchange.ended] == [
        (1, 1, "failed"),
        (2, 0, "skipped"),
    ]


def test_a_query_that_is_skipped_gets_no_ready_for_query():
    exchange = Exchange()
    exchange.parse(b"x", "S")
    exchange.query(1)
    exchange.sync()
    given(exchange, error(), READY)
    assert exchange.quiet
    assert exchange.ended[0][3] == "skipped"


def test_names_of_unanswered_segments_are_unsettled():
    exchange = Exchange()
    exchange.parse(b"a", "A")
    assert exchange.statement(b"a") == "A"
    exchange.sync()
    assert exchange.statement(b"a") is UNSETTLED
    assert exchange.statement(b"b") is None
    given(exchange, be.Simple(b"1"), READY)
    assert exchange.statement(b"a") == "A"


def test_what_follows_a_refused_step_is_skipped_at_once_up_to_sync():
    exchange = Exchange()
    exchange.parse(b"", "earlier")
    exchange.sync()
    given(exchange, be.Simple(b"1"), READY)
    exchange.refuse_step(OURS, b"")
    assert exchange.skipping  # a Bind that came with it is not one of the earlier statement
    exchange.sync()
    assert not exchange.skipping
    exchange.refuse_step(OURS)
    assert given(exchange, error(), READY) == OURS + wire(READY)  # the first is answered, the second is not
    assert exchange.skipping


def test_our_refusal_stands_where_the_servers_error_comes():
    exchange = Exchange()
    exchange.query(1)
    assert exchange.refuse_query(OURS).startswith(b"Q")
    exchange.query(2)
    out = given(exchange, ROW, DONE, READY, error(b"42601"), be.ReadyForQuery(b"E"), DONE, READY)
    assert out == wire(ROW, DONE, READY) + OURS + wire(be.ReadyForQuery(b"E"), DONE, READY)
    assert [each[0] for each in exchange.ended] == [1, 2]


@pytest.mark.parametrize("answer", [ROW, DONE, be.Simple(b"1")])
def test_a_server_that_does_not_refuse_what_we_refused_is_cut_off(answer):
    exchange = Exchange()
    exchange.refuse_step(OURS)
    with pytest.raises(ProtocolViolationError):
        given(exchange, answer)
    exchange = Exchange()
    exchange.refuse_query(OURS)
    with pytest.raises(ProtocolViolationError):
        given(exchange, answer, READY)


@pytest.mark.parametrize(
    "message",
    [
        be.CopyResponse(b"G", 0, ()),
        be.CopyResponse(b"W", 0, ()),
        be.FunctionCallResponse(b"secret"),
        be.Authentication(0),
        be.BackendKeyData(1, b"2222"),
        be.NegotiateProtocolVersion(0, ()),
        be.Simple(b"2"),
        be.Simple(b"s"),
        be.ParameterStatus(b"client_encoding", b"SJIS"),
        be.ParameterStatus(b"standard_conforming_strings", b"off"),
    ],
)
def test_what_a_site_must_not_say_ends_the_session(message):
    exchange = Exchange()
    exchange.query(1)
    with pytest.raises(ProtocolViolationError):
        given(exchange, message)


@pytest.mark.parametrize(
    "data", [b"D\0\0\0\x05x", b"D\xff\xff\xff\xff", b"C\0\0\0\x03", b"Z\0\0\0\x05X", b"T\x7f\0\0\0"]
)
def test_malformed_answers_end_the_session(data):
    exchange = Exchange()
    exchange.query(1)
    with pytest.raises(ProtocolViolationError):
        exchange.receive(data + b"\0" * 10)


def test_rows_without_a_statement_end_the_session():
    with pytest.raises(ProtocolViolationError):
        given(Exchange(), ROW)


def test_asynchronous_messages_are_dropped_or_listed():
    exchange = Exchange()
    secret = be.NotificationResponse(1, b"channel", b"secret")
    notice = be.NoticeResponse({"V": b"NOTICE", "C": b"00000", "M": b"secret"})
    application = be.ParameterStatus(b"application_name", b"secret")
    zone = be.ParameterStatus(b"TimeZone", b"UTC")
    assert given(exchange, secret, notice, application, zone) == wire(zone)


def test_a_fatal_error_ends_the_session():
    exchange = Exchange()
    given(exchange, error(b"57P01", b"FATAL"))
    assert exchange.fatal


def test_an_error_of_many_megabytes_is_redacted_in_bounded_memory():
    exchange = Exchange()
    exchange.query(1)
    body = b"SERROR\0VERROR\0C22P02\0M" + b"secret" * 1_000_000 + b"\0\0"
    stream = b"E" + (len(body) + 4).to_bytes(4, "big") + body + wire(READY)
    out = b""
    for start in range(0, len(stream), 10_000):
        out += b"".join(exchange.receive(stream[start : start + 10_000]))
        assert len(exchange._carry) < 20_000
    assert b"22P02" in out
    assert b"secret" not in out
    assert out.endswith(wire(READY))
    assert exchange.ended == [(1, 0, 0, "failed")]


def test_a_huge_row_is_streamed():
    exchange = Exchange()
    exchange.query(1)
    row = wire(be.DataRow((b"x" * 500_000,)))
    stream = row + wire(DONE, READY)
    assert exchange.receive(stream[:100_000]) == [stream[:100_000]]
    assert exchange.mid_message
    assert exchange.receive(stream[100_000:]) == [stream[100_000:]]
    assert not exchange.mid_message
    assert exchange.ended == [(1, 1, len(row), "complete")]


def test_exactly_the_permitted_rows_are_passed():
    exchange = Exchange(row_limit=100)
    exchange.query(1)
    assert given(exchange, *[ROW] * 99) == wire(ROW) * 99
    assert given(exchange, *[ROW] * 50) == wire(ROW)
    assert (exchange.limit_reached, exchange.rows) == ("rows", 100)


def test_no_more_than_the_permitted_bytes_are_passed():
    exchange = Exchange(byte_limit=1000)
    exchange.query(1)
    out = given(exchange, *[ROW] * 20)
    out += given(exchange, *[ROW] * 90)
    assert exchange.limit_reached == "bytes"
    assert len(out) <= 1000
    exchange = Exchange(byte_limit=200_000)
    exchange.query(1)
    assert given(exchange, be.DataRow((b"x" * 300_000,))) == b""
    assert exchange.limit_reached == "bytes"


def test_the_limit_itself_is_permitted():
    exchange = Exchange(row_limit=3)
    exchange.query(1)
    given(exchange, ROW, ROW, ROW, DONE, READY)
    assert exchange.limit_reached == ""


def test_a_cut_tells_what_is_unanswered():
    exchange = Exchange()
    exchange.query(1)
    exchange.query(2)
    exchange.query(3)
    given(exchange, ROW, DONE, READY, ROW)
    assert exchange.cut() == [2, 3]
    assert exchange.settled == (1, len(wire(ROW)))
    assert exchange.quiet


def test_portals_are_gone_after_the_transaction():
    exchange = Exchange()
    exchange.bind(b"p", "P")
    exchange.sync()
    given(exchange, be.Simple(b"2"), be.ReadyForQuery(b"T"))
    assert exchange.portal(b"p") == "P"
    exchange.query(1)
    given(exchange, DONE, READY)
    assert exchange.portal(b"p") is None
