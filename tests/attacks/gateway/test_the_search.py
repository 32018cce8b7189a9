"""The search finds planted values where they may be seen: only then does its silence mean anything."""

import pytest
from tests.attacks.gateway.leaks import find, leaked
from tests.attacks.gateway.wire_client import WireClient
from tests.live_deployment import ELSEWHERE, HIDDEN, MARKERS, SUPPORT

SEEN = {column for column, facts in HIDDEN.items() if facts[1] and column != "h_free"}
WORDS = sorted(
    column for column in SEEN if HIDDEN[column][0].startswith(("text", "char")) and column != "h_array"
)


@pytest.fixture(scope="module")
def support(live):
    with WireClient(live.dsn(SUPPORT)) as client:
        yield client


def answer(client, sql, *, binary=False):
    mark = len(client.received)
    client.extended(sql, binary=binary)
    return client.received[mark:]


def columns_in(names):
    return {name.split()[0].removeprefix("vault.") for name in names}


@pytest.mark.parametrize("binary", [False, True])
def test_every_type_is_found_as_it_stands(support, binary):
    found = columns_in(leaked(answer(support, "SELECT * FROM vault", binary=binary)))
    missed = SEEN - found
    # these have no one binary form worth looking for: numeric digits, days, addresses
    assert missed <= ({"h_numeric", "h_date", "h_inet"} if binary else set())
    assert not {"u_text", "u_bigint", "h_free"} & found


@pytest.mark.parametrize(
    "dress",
    [
        "upper({})",
        "reverse({})",
        "encode({}::bytea, 'hex')",
        "encode({}::bytea, 'base64')",
        "encode(('x' || {})::bytea, 'base64')",
        "encode(('xy' || {})::bytea, 'base64')",
        "md5({})",
        "'<' || {} || '>'",
        "right({}, -9)",
    ],
)
def test_every_dress_is_seen_through(support, dress):
    for column in WORDS:
        sql = f"SELECT {dress.format(column)} FROM vault"
        found = columns_in(leaked(answer(support, sql)))
        assert column in found, sql


def test_pieces_are_put_together_again(support):
    across = "SELECT substr(h_text, 1, 5), substr(h_text, 6, 5), substr(h_text, 11, 5) FROM vault"
    assert "h_text" in columns_in(leaked(answer(support, across)))
    down = "SELECT substr(h_text, g, 1) FROM generate_series(1, 24) AS g, vault WHERE vault.id = 1 ORDER BY g"
    assert "h_text" in columns_in(leaked(answer(support, down)))
    assert "h_text" in columns_in(leaked(answer(support, f"{down} DESC")))


def test_the_people_and_what_lies_elsewhere_are_known(support):
    assert "people" in leaked(answer(support, "SELECT iban FROM people WHERE iban IS NOT NULL LIMIT 3"))
    for name, value in ELSEWHERE.items():
        assert find(b"..." + str(value).encode() + b"...") == {f"elsewhere.{name}"}
    assert find(MARKERS["u_text"][3].encode()) == {"vault.u_text"}
