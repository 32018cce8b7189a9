"""Passwords and failures, as the provisioner keeps them."""

import asyncio
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

import orjson
import pytest

from ringfort.config import AuthenticationConfig
from ringfort.errors import UsageError
from ringfort.gateway.authentication_desk import Desk
from ringfort.gateway.verifiers import decode_verifier, load_verifier, make_verifier
from ringfort.pgwire.scram import ScramClient, salted_password
from ringfort.private_files import read_private, write_private

MOCK = bytes(32)


class Fixed:
    def token(self, size):
        return bytes(range(size))


@dataclass
class State:
    principals: dict = field(default_factory=lambda: {"ann": 1, "bob": 1, "tess": 1})


@pytest.fixture
def folder(tmp_path):
    for name in ("ann", "bob"):  # tess has no password
        write_private(tmp_path / f"{name}.json", make_verifier(name, Fixed()))
    return tmp_path


@pytest.fixture
def desk(folder):
    made = Desk(folder, MOCK, AuthenticationConfig(2, 100), State, clock=lambda: 0.0)
    yield made
    made.close()


def ask(desk, op, **fields):
    return asyncio.run(desk.asked(op, fields))


class Client:
    """A client's side of one exchange, as a worker passes it on; `said` is all that the worker was told."""

    def __init__(self, desk, name, address="192.0.2.1", **changes):
        self.desk, self.scram = desk, ScramClient("n" * 24)
        message = b64encode(self.scram.first()).decode()
        given = {"name": name, "address": address, "mechanism": "SCRAM-SHA-256", "message": message}
        self.first = ask(desk, "scram-first", **{**given, "end_point": "", **changes})
        self.said = [self.first]

    def prove(self, password, **changes):
        salt, iterations = self.scram.challenge(b64decode(self.first["message"]))
        final = self.scram.final(salted_password(password, salt, iterations))
        given = {"attempt": self.first["attempt"], "message": b64encode(final).decode(), **changes}
        self.said.append(ask(self.desk, "scram-final", **given))
        return self.said[-1]


def test_the_right_password_and_a_wrong_one(desk):
    client = Client(desk, "ann")
    client.scram.verify(b64decode(client.prove("ann")["message"]))
    assert Client(desk, "ann").prove("bob") == {"refused": "wrong proof"}
    assert Client(desk, "tess").prove("tess") == {"refused": "wrong proof"}
    assert Client(desk, "nobody").prove("nobody") == {"refused": "wrong proof"}


def test_a_worker_is_never_told_what_passwords_can_be_guessed_against(desk, folder):
    """Neither key of a verifier is in anything that is said, in any order, also after a success."""
    known = decode_verifier((folder / "ann.json").read_bytes())
    clients = [Client(desk, "ann") for _ in range(2)]
    clients[0].prove("ann")
    clients[1].prove("wrong")
    said = orjson.dumps([each.said for each in clients])
    plain = b"".join(
        b64decode(each["message"]) for client in clients for each in client.said if "message" in each
    )
    for key in (known.stored_key, known.server_key):
        assert key not in plain
        for text in (said, plain):
            assert b64encode(key) not in text
            assert key.hex().encode() not in text


def test_an_exchange_proves_once_and_only_its_own(desk):
    client = Client(desk, "ann")
    assert "message" in client.prove("ann")
    assert client.prove("ann") == {"refused": "the attempt was given up"}
    other = Client(desk, "ann")
    assert Client(desk, "bob").prove("ann", attempt=other.first["attempt"]) == {"refused": "wrong proof"}
    for number in (0, -1, 10**30):
        answer = ask(desk, "scram-final", attempt=number, message="")
        assert answer == {"refused": "the attempt was given up"}


def test_an_abandoned_exchange_proves_nothing(desk):
    client = Client(desk, "ann")
    ask(desk, "attempted", attempt=client.first["attempt"], outcome="abandoned")
    assert client.prove("ann") == {"refused": "the attempt was given up"}


@pytest.mark.parametrize("name", ["ann", "nobody", "tess", "../ann", ""])
def test_every_name_costs_the_same_reads(folder, name):
    """The work is compared, not the time: which files are read, how many, of which size."""
    read = []

    def counting(path):
        content = read_private(path)
        read.append(len(content))
        return content

    known = name in {"ann", "tess"}
    load_verifier(folder, name, MOCK, known=known, decoy="bob", read=counting)
    assert read == [len((folder / "ann.json").read_bytes())]


def test_answers_have_one_form_and_one_salt_for_a_name(desk):
    firsts = [Client(desk, name).first for name in ("ann", "nobody", "tess", "../ann", "", "é" * 400)]
    shapes = [{key: (type(value), len(str(value))) for key, value in each.items()} for each in firsts]
    assert all(each == shapes[0] for each in shapes)

    def salt(name):
        client = Client(desk, name, "192.0.2.9")
        ask(desk, "attempted", attempt=client.first["attempt"], outcome="abandoned")
        return client.scram.challenge(b64decode(client.first["message"]))[0]

    assert salt("nobody") == salt("nobody") != salt("somebody")


def test_known_and_unknown_names_are_throttled_alike(desk):
    for name in ("ann", "nobody"):
        said = []
        for number in range(4):
            client = Client(desk, name, f"192.0.2.{number}")
            said.append(client.first.get("throttled", False))
            if not said[-1]:
                client.prove("wrong")
        assert said == [False, False, True, True]


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_as_many_exchanges_at_once_as_guesses(desk, name):
    clients = [Client(desk, name, f"192.0.2.{number}") for number in range(60)]
    assert [bool(each.first.get("busy")) for each in clients] == [False] * 2 + [True] * 58


@pytest.mark.parametrize(
    "changes",
    [
        {"message": b64encode(b"x").decode()},
        {"message": b64encode(b"n,,n=,r=" + b"x" * 2_000).decode()},
        {"mechanism": "SCRAM-SHA-1"},
        {"mechanism": "SCRAM-SHA-256-PLUS"},
    ],
)
def test_a_malformed_exchange_counts_as_a_failure(desk, changes):
    for number in range(2):
        assert "refused" in Client(desk, "ann", f"192.0.2.{number}", **changes).first
    assert Client(desk, "ann", "192.0.2.8").first["throttled"]


@pytest.mark.parametrize(
    ("op", "request_"),
    [
        ("scram-first", {}),
        ("scram-first", {"name": 1, "address": "", "mechanism": "", "message": "", "end_point": ""}),
        ("scram-first", {"name": "a", "address": 1, "mechanism": "", "message": "", "end_point": ""}),
        ("scram-first", {"name": "a", "address": "", "mechanism": "", "message": "?", "end_point": ""}),
        ("scram-first", {"name": "a", "address": "", "mechanism": "", "message": "A" * 5000}),
        ("scram-final", {}),
        ("scram-final", {"attempt": True, "message": ""}),
        ("scram-final", {"attempt": 1, "message": 1}),
        ("attempt", {}),
        ("attempt", {"name": 1, "address": ""}),
        ("attempted", {}),
        ("attempted", {"attempt": "x", "outcome": "failed"}),
        ("attempted", {"attempt": 1, "outcome": "?"}),
        ("attempted", {"attempt": 1, "outcome": []}),
    ],
)
def test_malformed_questions(desk, op, request_):
    with pytest.raises(UsageError):
        ask(desk, op, **request_)
