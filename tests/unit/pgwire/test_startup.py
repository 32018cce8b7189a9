import pytest

from ringfort.pgwire.errors import ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.parameters import option_settings, read_parameters, split_options
from ringfort.pgwire.startup import (
    CancelRequest,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    parse_startup,
    serialise_startup,
    split_packet,
)


def message(**parameters):
    given = {"user": "alice", "database": "shop", **parameters}
    return StartupMessage(0, tuple((name.encode(), value.encode()) for name, value in given.items()))


@pytest.mark.parametrize(
    "packet",
    [
        SslRequest(),
        GssEncRequest(),
        CancelRequest(7, b"\xff" * 4),
        CancelRequest(7, bytes(256)),
        message(),
        StartupMessage(2, ()),
    ],
)
def test_packets_round_trip(packet):
    body, rest = split_packet(serialise_startup(packet) + b"rest")
    assert rest == b"rest"
    assert parse_startup(body) == packet


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01", b"GET / HTTP/1.1", b"\0\0\0\x07", b"\0\0\x27\x11", b"\xff\xff\xff\xff", b"\0\0\0\0"],
)
def test_what_cannot_be_a_startup_packet_is_refused_at_once(data):
    with pytest.raises(ProtocolViolationError):
        split_packet(data)


def test_an_incomplete_packet_waits():
    packet = serialise_startup(message())
    assert all(split_packet(packet[:end]) is None for end in range(len(packet)))


@pytest.mark.parametrize(
    "body",
    [
        b"\0\x03\0\0user\0alice\0",
        b"\0\x03\0\0user\0alice\0\0x",
        b"\0\x03\0\0user\0a\0user\0b\0\0",
        b"\x04\xd2\x16\x2fx",
        b"\x04\xd2\x16\x2e\0\0\0\x01",
        b"\x04\xd2\x16\x2e\0\0\0\x01abc",
        b"\x04\xd2\x16\x2e\0\0\0\x01" + bytes(257),
        b"\0\x03",
    ],
)
def test_malformed_packets(body):
    with pytest.raises(ProtocolViolationError):
        parse_startup(body)


def test_other_protocols_are_refused():
    with pytest.raises(StartupRefusedError):
        parse_startup(b"\0\x02\0\0user\0alice\0\0")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        ("  -c a=b   --c-d=e ", ["-c", "a=b", "--c-d=e"]),
        (r"-c a=b\ c", ["-c", "a=b c"]),
        (r"-c a=b\\c", ["-c", r"a=b\c"]),
        ("-c\ta=b\n-c c=d", ["-c", "a=b", "-c", "c=d"]),
        ("-c a=b\\", ["-c", "a=b"]),
    ],
)
def test_options_are_split_as_postgresql_does(text, arguments):
    assert split_options(text) == arguments


def test_options_give_settings():
    assert option_settings("-c a=b -cc=d --statement-timeout=5 -c e=f=g") == [
        ("a", "b"),
        ("c", "d"),
        ("statement_timeout", "5"),
        ("e", "f=g"),
    ]
    for text in ("-c", "-c a", "-d 5", "-c =b", "plain", "-F"):
        with pytest.raises(StartupRefusedError):
            option_settings(text)


def test_purpose_and_ticket_are_read_and_not_passed_on():
    request = read_parameters(
        message(options="-c ringfort.purpose=customer-support -c ringfort.ticket=T-1#2")
    )
    assert (request.purpose, request.ticket, request.settings) == ("customer-support", "T-1#2", {})
    assert read_parameters(message(**{"ringfort.purpose": "audit"})).purpose == "audit"


def test_harmless_settings_are_passed_on_in_their_canonical_spelling():
    request = read_parameters(
        message(
            datestyle="ISO",
            client_encoding="'utf-8'",
            application_name="psqlé\n",
            options="-c statement_timeout=5s -c TIMEZONE=Europe/Dublin",
        )
    )
    assert request.settings == {
        "DateStyle": "ISO",
        "client_encoding": "UTF8",
        "application_name": "psql??",
        "statement_timeout": "5s",
        "TimeZone": "Europe/Dublin",
    }


@pytest.mark.parametrize(
    ("parameters", "sqlstate"),
    [
        ({"options": "-c role=postgres"}, "42501"),
        ({"options": "--ROLE=postgres"}, "42501"),
        ({"options": "-c search_path=public"}, "42501"),
        ({"options": "--search-path=public"}, "42501"),
        ({"search_path": "public"}, "42501"),
        ({"options": "-c session_authorization=postgres"}, "42501"),
        ({"replication": "true"}, "42501"),
        ({"replication": "database"}, "42501"),
        ({"options": "-c default_transaction_read_only=off"}, "0A000"),
        ({"options": "-c standard_conforming_strings=off"}, "0A000"),
        ({"client_encoding": "LATIN1"}, "0A000"),
        ({"options": "-c client_encoding=SJIS"}, "0A000"),
        ({"options": "-c log_statement=all"}, "0A000"),
        ({"options": "-c ringfort.other=x"}, "0A000"),
        ({"options": "-c TimeZone=a'b"}, "22023"),
        ({"options": "-c ringfort.purpose=a -c ringfort.purpose=b"}, "22023"),
        ({"options": "-c ringfort.purpose=a", "ringfort.purpose": "b"}, "22023"),
        ({"ringfort.purpose": "two\nlines"}, "22023"),
        ({"ringfort.ticket": "two words"}, "22023"),
        ({"ringfort.purpose": "x" * 200}, "22023"),
        ({"user": ""}, "28000"),
        ({"user": "x" * 64}, "28000"),
        ({"user": "a\nb"}, "28000"),
    ],
)
def test_everything_else_is_refused_with_a_hint(parameters, sqlstate):
    with pytest.raises(StartupRefusedError) as error:
        read_parameters(message(**parameters))
    assert error.value.sqlstate == sqlstate


def test_values_that_are_not_utf8_are_refused():
    with pytest.raises(StartupRefusedError) as error:
        read_parameters(StartupMessage(0, ((b"user", b"\xff"),)))
    assert error.value.sqlstate == "22021"


@pytest.mark.parametrize(
    ("minor", "extension", "version", "told", "long_keys"),
    [
        (0, False, 0x30000, False, False),
        (0, True, 0x30000, True, False),
        (1, False, 0x30001, False, False),
        (2, False, 0x30002, False, True),
        (2, True, 0x30002, True, True),
        (3, False, 0x30002, True, True),
        (9999, True, 0x30002, True, True),
    ],
)
def test_the_version_that_is_spoken(minor, extension, version, told, long_keys):
    given = StartupMessage(minor, ((b"user", b"a"), *([(b"_pq_.x", b"1")] if extension else [])))
    assert (given.version, given.must_negotiate, given.long_keys) == (version, told, long_keys)
