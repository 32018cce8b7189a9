import pytest

from ringfort.pgwire.backend import ErrorResponse, NoticeResponse, parse_backend, serialise_backend
from ringfort.pgwire.errors import ProtocolViolationError
from ringfort.pgwire.redaction import WITHHELD, redact_error, redact_notice

SECRET = b"marker-7f3a"


def redacted(**fields):
    body = serialise_backend(ErrorResponse(dict(fields.items())))[5:]
    framed, sqlstate, fatal = redact_error(body)
    return parse_backend(framed[0], framed[5:]).fields, sqlstate, fatal


@pytest.mark.parametrize(
    ("sqlstate", "position"),
    [
        (b"22P02", None),
        (b"22P02", b"8"),
        (b"23505", None),
        (b"42P01", None),
        (b"42883", None),
        (b"42704", None),
        (b"22003", None),
        (b"P0001", None),
        (b"XX000", None),
        (b"58P01", None),
        (b"34000", None),
    ],
)
def test_texts_that_may_carry_values_are_withheld(sqlstate, position):
    more = {"P": position} if position else {}
    fields, state, fatal = redacted(
        S=b"ERROR", V=b"ERROR", C=sqlstate, M=b'bad: "' + SECRET + b'"', D=SECRET, H=SECRET, W=SECRET,
        q=SECRET, s=SECRET, t=SECRET, c=SECRET, d=SECRET, n=SECRET, F=b"int.c", L=b"1", R=b"f", **more,
    )  # fmt: skip
    assert SECRET not in b"".join(fields.values())
    assert fields["H"] == WITHHELD
    assert (fields["C"], state, fatal) == (sqlstate, sqlstate.decode(), False)
    assert set(fields) <= {"S", "V", "C", "M", "H", "P"}


@pytest.mark.parametrize(
    ("sqlstate", "position"),
    [
        (b"42703", b"8"),
        (b"42P01", b"15"),
        (b"42601", b"1"),
        (b"22012", None),
        (b"57014", None),
        (b"25P02", None),
    ],
)
def test_texts_about_the_clients_own_words_are_passed_without_their_detail(sqlstate, position):
    more = {"P": position} if position else {}
    fields, _, _ = redacted(
        S=b"ERROR", V=b"ERROR", C=sqlstate, M=b"as it says", H=b"try this", D=SECRET, W=SECRET, **more
    )
    assert (fields["M"], fields["H"]) == (b"as it says", b"try this")
    assert SECRET not in b"".join(fields.values())


def test_an_error_without_sqlstate_or_severity_gets_them():
    fields, state, fatal = redacted(M=SECRET)
    assert (fields["C"], fields["V"], state, fatal) == (b"XX000", b"ERROR", "XX000", False)
    fields, state, _ = redacted(V=SECRET, C=b"no", M=SECRET)
    assert (state, fields["V"]) == ("XX000", b"ERROR")


def test_fatal_is_told():
    assert redacted(V=b"FATAL", C=b"57P01", M=b"terminating connection")[2]


def test_a_localised_severity_is_not_passed():
    fields, _, _ = redacted(S=b"FEHLER", V=b"ERROR", C=b"22012", M=b"division by zero")
    assert fields["S"] == b"ERROR"


@pytest.mark.parametrize("body", [b"", b"C", b"C22012", b"C22012\0", b"CAAAAA\0CBBBBB\0\0", b"\0x"])
def test_malformed_errors_end_the_session(body):
    with pytest.raises(ProtocolViolationError):
        redact_error(body)


def test_notices_are_passed_or_dropped():
    fixed = serialise_backend(
        NoticeResponse({"V": b"WARNING", "C": b"25P01", "M": b"there is no transaction"})
    )
    assert b"there is no transaction" in redact_notice(fixed[5:])
    raised = serialise_backend(NoticeResponse({"V": b"NOTICE", "C": b"00000", "M": SECRET}))
    assert redact_notice(raised[5:]) == b""
