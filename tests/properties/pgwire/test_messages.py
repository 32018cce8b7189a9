import contextlib
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfort.pgwire import backend, frontend
from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.evidence import read_evidence
from ringfort.pgwire.framing import FrameReader
from ringfort.pgwire.parameters import option_settings, read_parameters, split_options
from ringfort.pgwire.scram import ScramClient, ScramServer, build_verifier
from ringfort.pgwire.startup import StartupMessage, parse_startup, serialise_startup, split_packet

text = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"x"))
name = st.sampled_from([b"", b"a", b"statement"]) | text
int16 = st.integers(-(2**15), 2**15 - 1)
int32 = st.integers(-(2**31), 2**31 - 1)
uint32 = st.integers(0, 2**32 - 1)
values = st.lists(st.none() | st.binary(max_size=40), max_size=5).map(tuple)
int16s = st.lists(int16, max_size=4).map(tuple)
uint32s = st.lists(uint32, max_size=4).map(tuple)
half = st.sampled_from([b"S", b"P"])

frontend_messages = st.one_of(
    st.builds(frontend.Query, text),
    st.builds(frontend.Parse, name, text, uint32s),
    st.builds(frontend.Bind, name, name, int16s, values, int16s),
    st.builds(frontend.Describe, half, name),
    st.builds(frontend.Close, half, name),
    st.builds(frontend.Execute, name, int32),
    st.builds(frontend.Sync),
    st.builds(frontend.Flush),
    st.builds(frontend.Terminate),
    st.builds(frontend.FunctionCall, st.binary(max_size=40)),
    st.builds(frontend.CopyData, st.binary(max_size=40)),
    st.builds(frontend.CopyDone),
    st.builds(frontend.CopyFail, text),
)
fields = st.dictionaries(st.characters(min_codepoint=1, max_codepoint=255), text, max_size=6)
columns = st.lists(
    st.builds(backend.Column, text, uint32, int16, uint32, int16, int32, int16), max_size=3
).map(tuple)
backend_messages = st.one_of(
    st.builds(backend.Authentication, int32, st.binary(max_size=30)),
    st.builds(backend.BackendKeyData, uint32, st.binary(min_size=4, max_size=256)),
    st.builds(backend.ParameterStatus, text, text),
    st.builds(backend.ReadyForQuery, st.sampled_from([b"I", b"T", b"E"])),
    st.builds(backend.RowDescription, columns),
    st.builds(backend.DataRow, values),
    st.builds(backend.CommandComplete, text),
    st.builds(backend.EmptyQueryResponse),
    st.builds(backend.ErrorResponse, fields),
    st.builds(backend.NoticeResponse, fields),
    st.builds(backend.Simple, st.sampled_from([b"1", b"2", b"3", b"n", b"s", b"c"])),
    st.builds(backend.ParameterDescription, uint32s),
    st.builds(backend.CopyData, st.binary(max_size=40)),
    st.builds(backend.CopyResponse, st.sampled_from([b"H", b"G", b"W"]), st.integers(0, 255), int16s),
    st.builds(backend.NotificationResponse, uint32, text, text),
    st.builds(backend.FunctionCallResponse, st.none() | st.binary(max_size=40)),
    st.builds(backend.NegotiateProtocolVersion, int32, st.lists(text, max_size=3).map(tuple)),
)


@given(frontend_messages)
def test_frontend_messages_parse_to_what_was_serialised(item):
    framed = frontend.serialise_frontend(item)
    assert int.from_bytes(framed[1:5], "big") == len(framed) - 1
    assert frontend.parse_frontend(framed[0], framed[5:]) == item


@given(backend_messages)
def test_backend_messages_parse_to_what_was_serialised(item):
    framed = backend.serialise_backend(item)
    assert int.from_bytes(framed[1:5], "big") == len(framed) - 1
    assert backend.parse_backend(framed[0], framed[5:]) == item


@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_body_is_read_or_refused_and_what_is_read_is_canonical(body, kind):
    for parse, serialise in (
        (frontend.parse_frontend, frontend.serialise_frontend),
        (backend.parse_backend, backend.serialise_backend),
    ):
        try:
            item = parse(kind, body)
        except ProtocolViolationError:
            continue
        assert serialise(item)[5:] == body


@given(frontend_messages, st.binary(max_size=8), st.binary(max_size=8), st.data())
def test_the_quick_readers_agree_with_the_codec(item, before, behind, data):
    framed = bytearray(frontend.serialise_frontend(item))
    if data.draw(st.booleans()) and len(framed) > 5:
        framed[data.draw(st.integers(5, len(framed) - 1))] = data.draw(st.integers(0, 255))
    framed = bytes(framed)
    quick = {
        ord("Q"): frontend.read_query,
        ord("P"): frontend.read_parse,
        ord("B"): frontend.read_bind,
        ord("E"): frontend.read_execute,
        ord("D"): frontend.read_target,
        ord("C"): frontend.read_target,
    }.get(framed[0])
    if quick is None:
        return
    try:
        expected = frontend.parse_frontend(framed[0], framed[5:])
    except ProtocolViolationError:
        expected = None
    whole = before + framed + behind
    try:
        got = quick(whole, len(before) + 5, len(before) + len(framed))
    except ProtocolViolationError:
        got = None
    assert (got is None) == (expected is None)
    match expected:
        case frontend.Query(sql):
            assert got == sql
        case frontend.Parse(name, sql, types):
            assert (got[0], got[1], len(got[2])) == (name, sql, 2 + 4 * len(types))
        case frontend.Bind(portal, statement):
            assert got[:2] == (portal, statement)
        case frontend.Execute(portal):
            assert got[0] == portal
        case frontend.Describe(kind, name) | frontend.Close(kind, name):
            assert got == (kind[0], name)


def read_all(chunks, limit=64):
    reader = FrameReader(limit, frontend.KINDS)
    seen = []
    for chunk in chunks:
        reader.feed(chunk)
        while kind := reader.next():
            seen.append((kind, reader.oversize, reader.data[reader.start : reader.end]))
        assert reader.buffered <= limit + 5
    return seen


def cut(data, points):
    edges = [0, *sorted(points), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(frontend_messages, max_size=5), st.data())
def test_frames_are_the_same_wherever_the_stream_is_cut(items, data):
    stream = b"".join(map(frontend.serialise_frontend, items))
    points = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    expected = read_all([stream])
    assert read_all(cut(stream, points)) == expected
    assert read_all([bytes([octet]) for octet in stream]) == expected
    assert len(expected) == len(items)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_random_bytes_are_refused_in_bounded_memory(chunks):
    with contextlib.suppress(ProtocolViolationError):
        read_all(chunks)


@given(st.binary(max_size=300))
def test_random_startup_packets_raise_only_what_is_documented(data):
    try:
        packet = split_packet(data)
        if packet is not None:
            message = parse_startup(packet[0])
            if isinstance(message, StartupMessage):
                read_parameters(message)
    except (ProtocolViolationError, StartupRefusedError):
        pass


@given(st.lists(st.tuples(text.filter(bool), text), max_size=5, unique_by=lambda pair: pair[0]))
def test_startup_messages_round_trip(parameters):
    message = StartupMessage(0, tuple(parameters))
    body, rest = split_packet(serialise_startup(message))
    assert (parse_startup(body), rest) == (message, b"")


@given(st.lists(st.text("ab\\ \t=-c", max_size=8), max_size=5))
def test_options_escaped_as_postgresql_asks_come_back(arguments):
    arguments = [each for each in arguments if each]
    escaped = " ".join(
        "".join(f"\\{letter}" if letter in "\\ \t" else letter for letter in each) for each in arguments
    )
    assert split_options(escaped) == arguments


@given(st.text(max_size=80))
def test_any_options_are_read_or_refused(options):
    with contextlib.suppress(StartupRefusedError):
        option_settings(options)


VERIFIER = build_verifier("x", b"s" * 16, 1)


@given(st.binary(max_size=120), st.binary(max_size=120))
def test_random_scram_messages_raise_only_what_is_documented(first, final):
    server = ScramServer(VERIFIER, "nonce")
    try:
        server.first(first)
        server.final(final)
    except AuthenticationFailedError:
        pass
    client = ScramClient("nonce")
    try:
        client.challenge(first)
        client.verify(final)
    except ProtocolViolationError:
        pass


@given(st.binary(max_size=120))
def test_random_evidence_is_read_or_refused(data):
    with contextlib.suppress(ProtocolViolationError):
        read_evidence(data)
