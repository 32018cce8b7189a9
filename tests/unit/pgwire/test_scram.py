import pytest

from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError
from ringfort.pgwire.saslprep import saslprep
from ringfort.pgwire.scram import (
    MECHANISM,
    MECHANISM_PLUS,
    ScramClient,
    ScramServer,
    build_verifier,
    mock_verifier,
    offered,
    salted_password,
)

VERIFIER = build_verifier("correct horse", b"s" * 16, 512)


def exchange(verifier, password):
    server, client = ScramServer(verifier, "servernonce"), ScramClient("clientnonce")
    salt, iterations = client.challenge(server.first(client.first()))
    client.verify(server.final(client.final(salted_password(password, salt, iterations))))


def test_right_password_proves_both_sides():
    exchange(VERIFIER, "correct horse")


def test_wrong_password_is_refused_without_saying_why():
    with pytest.raises(AuthenticationFailedError) as error:
        exchange(VERIFIER, "battery staple")
    assert error.value.sqlstate == "28P01"
    assert "proof" not in error.value.message


def test_unknown_user_meets_a_verifier_of_the_same_form():
    mock = mock_verifier("nobody", b"k" * 32, 512)
    assert mock == mock_verifier("nobody", b"k" * 32, 512) != mock_verifier("nobody2", b"k" * 32, 512)
    assert (len(mock.salt), len(mock.stored_key), len(mock.server_key)) == (16, 32, 32)
    with pytest.raises(AuthenticationFailedError):
        exchange(mock, "")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n,,",
        b"n,,n=,r=",
        b"n,,n=,r=with,comma",
        b"n,,n=,r=spa ce",
        b"p=tls-server-end-point,,n=,r=abc",
        b"n,a=root,n=,r=abc",
        b"n,,m=x,n=,r=abc",
        b"\xff\xfe",
        b"n,,n=,r=" + b"x" * 2000,
    ],
)
def test_malformed_first_messages(message):
    with pytest.raises(AuthenticationFailedError):
        ScramServer(VERIFIER, "servernonce").first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws",
        b"c=biws,r=abcservernonce,p=",
        b"c=biws,r=abcservernonce,p=AAAA",
        b"c=biws,r=abcservernonce,p=!!!!",
        b"c=eSws,r=abcservernonce,p=" + b"A" * 43 + b"=",
        b"c=biws,r=abcservernonceX,p=" + b"A" * 43 + b"=",
        b"c=biws,r=abcservernonce,p=" + b"A" * 42 + b"B=",
    ],
)
def test_malformed_final_messages(message):
    server = ScramServer(VERIFIER, "servernonce")
    server.first(b"n,,n=,r=abc")
    with pytest.raises(AuthenticationFailedError):
        server.final(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"r=other,s=AAAA,i=4096",
        b"r=clientnonce,s=AAAA,i=4096",
        b"r=clientnonceX,s=!,i=4096",
        b"r=clientnonceX,s=AAAA,i=0",
        b"r=clientnonceX,s=AAAA,i=9999999",
        b"e=other-error",
        b"r=clientnonce" + b"x" * 2000 + b",s=AAAA,i=1",
    ],
)
def test_a_site_cannot_lead_the_client_astray(message):
    client = ScramClient("clientnonce")
    client.first()
    with pytest.raises(ProtocolViolationError):
        client.challenge(message)


def test_a_site_that_cannot_prove_itself_is_refused():
    client = ScramClient("clientnonce")
    salt, iterations = client.challenge(ScramServer(VERIFIER, "s").first(client.first()))
    client.final(salted_password("correct horse", salt, iterations))
    with pytest.raises(ProtocolViolationError):
        client.verify(b"v=AAAA")
    with pytest.raises(ProtocolViolationError):
        ScramClient("x").verify(b"v=")


def test_passwords_are_prepared_as_postgresql_does():
    assert saslprep("pass\x00word") == b"pass\x00word"  # ASCII is left alone
    assert saslprep("Ⅸ") == b"IX"
    assert saslprep("a\u00a0b") == b"a b"
    assert saslprep(b"\xff\xfe") == b"\xff\xfe"  # not UTF-8: as it stands
    assert saslprep("\u0627\u0031") == "\u0627\u0031".encode()  # prohibited: as it stands


END = b"e" * 32
BOUND = b"p=tls-server-end-point,,n=,r=abc"


def bound_exchange(client_end, server_end, mechanisms):
    server = ScramServer(VERIFIER, "servernonce", end_point=server_end)
    client = ScramClient("clientnonce", end_point=client_end)
    chosen = client.choose(mechanisms)
    salt, iterations = client.challenge(server.first(client.first(), chosen))
    client.verify(server.final(client.final(salted_password("correct horse", salt, iterations))))
    return chosen


@pytest.mark.parametrize(
    ("client_end", "server_end", "chosen"),
    [(END, END, MECHANISM_PLUS), (b"", END, MECHANISM), (END, b"", MECHANISM), (b"", b"", MECHANISM)],
)
def test_the_proof_is_bound_where_both_sides_can(client_end, server_end, chosen):
    assert bound_exchange(client_end, server_end, offered(server_end)) == chosen


def test_a_proof_that_is_bound_to_another_certificate_is_wrong():
    with pytest.raises(AuthenticationFailedError) as error:
        bound_exchange(b"o" * 32, END, offered(END))
    assert error.value.reason == "wrong proof"


def test_a_changed_offer_is_noticed():
    with pytest.raises(AuthenticationFailedError) as error:
        bound_exchange(END, END, [MECHANISM])
    assert error.value.reason == "channel binding was taken out of the offer"


@pytest.mark.parametrize(
    ("end", "mechanism", "message"),
    [
        (b"", MECHANISM_PLUS, BOUND),
        (b"", MECHANISM, BOUND),
        (END, MECHANISM, BOUND),
        (END, MECHANISM, b"y,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"n,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"y,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"p=tls-unique,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"p=tls-exporter,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"p=,,n=,r=abc"),
        (END, MECHANISM_PLUS, b"p=tls-server-end-point,a=bob,n=,r=abc"),
        (END, "SCRAM-SHA-1", b"n,,n=,r=abc"),
        (END, "PLAIN", b"n,,n=,r=abc"),
        (END, "", b"n,,n=,r=abc"),
    ],
)
def test_bindings_that_do_not_fit(end, mechanism, message):
    with pytest.raises(AuthenticationFailedError):
        ScramServer(VERIFIER, "servernonce", end_point=end).first(message, mechanism)


def test_a_client_takes_nothing_but_scram():
    for end in (b"", END):
        assert ScramClient("n", end_point=end).choose(["PLAIN", "SCRAM-SHA-1", ""]) == ""
