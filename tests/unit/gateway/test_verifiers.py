"""SCRAM verifiers as files."""

import base64
import json

import pytest

from ringfort.errors import ConfigurationError, RingfortError
from ringfort.gateway.verifiers import (
    decode_verifier,
    encode_verifier,
    load_verifier,
    make_verifier,
    postgres_verifier,
    verifier_fields,
)
from ringfort.pgwire.scram import build_verifier, mock_verifier
from ringfort.private_files import write_private

MOCK = bytes(32)


class Fixed:
    def token(self, size):
        return bytes(range(size))


def test_a_verifier_file_and_back(tmp_path):
    content = make_verifier("päss wörd", Fixed())
    verifier = build_verifier("päss wörd", bytes(range(16)))
    assert decode_verifier(content) == verifier
    assert encode_verifier(verifier) == content
    write_private(tmp_path / "ann.json", content)
    assert load_verifier(tmp_path, "ann", MOCK, known=True) == verifier


def test_unknown_names_get_a_mock_of_the_same_shape(tmp_path):
    content = make_verifier("x", Fixed())
    write_private(tmp_path / "ann.json", content)
    for name, known in (("ann", False), ("bob", True), ("../ann", True), ("", True), ("a/b", True)):
        got = load_verifier(tmp_path, name, MOCK, known=known)
        assert got == mock_verifier(name, MOCK)
        assert {key: len(str(value)) for key, value in verifier_fields(got).items()} == {
            key: len(str(value)) for key, value in json.loads(content).items()
        }


def test_postgres_writes_it_so():
    # salt and password are those of the example in RFC 7677
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    text = postgres_verifier(build_verifier("pencil", salt, 4096))
    assert text == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize(
    "change",
    [{"iterations": 1}, {"iterations": "x"}, {"salt": "AA=="}, {"stored_key": "!"}, {"more": 1}, None],
)
def test_what_is_no_verifier_is_refused(change):
    fields = verifier_fields(build_verifier("x", bytes(16)))
    content = b"[]" if change is None else json.dumps({**fields, **change}).encode()
    with pytest.raises(ConfigurationError):
        decode_verifier(content)


def test_an_empty_password_is_refused():
    with pytest.raises(RingfortError):
        make_verifier("", Fixed())
