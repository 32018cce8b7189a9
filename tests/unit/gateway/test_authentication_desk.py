"""Verifiers and failures, as the provisioner keeps them."""

import asyncio
from dataclasses import dataclass, field

import pytest

from ringfort.config import AuthenticationConfig
from ringfort.errors import UsageError
from ringfort.gateway.authentication_desk import Desk
from ringfort.gateway.verifiers import load_verifier, make_verifier
from ringfort.sites.keystore import read_private, write_private

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
    async def direct(call, *arguments):
        return call(*arguments)

    return Desk(folder, MOCK, AuthenticationConfig(2, 100), State, direct, clock=lambda: 0.0)


def ask(desk, name, address="192.0.2.1"):
    return asyncio.run(desk.verifier({"name": name, "address": address}))


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


def test_answers_have_one_form(desk):
    shapes = [
        {key: (type(value), len(str(value))) for key, value in ask(desk, name).items()}
        for name in ("ann", "nobody", "tess")
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_known_and_unknown_names_are_throttled_alike(desk):
    for name in ("ann", "nobody"):
        said = []
        for number in range(4):
            answer = ask(desk, name, f"192.0.2.{number}")
            said.append(answer.get("throttled", False))
            if not said[-1]:
                desk.attempted({"attempt": answer["attempt"], "outcome": "failed"})
        assert said == [False, False, True, True]


@pytest.mark.parametrize("request_", [{}, {"name": 1}, {"name": "a", "address": 1}])
def test_malformed_questions(desk, request_):
    with pytest.raises(UsageError):
        asyncio.run(desk.verifier(request_))


@pytest.mark.parametrize(
    "request_", [{}, {"attempt": "x", "outcome": "failed"}, {"attempt": 1, "outcome": "?"}]
)
def test_malformed_reports(desk, request_):
    with pytest.raises(UsageError):
        desk.attempted(request_)
