"""COPY FROM STDIN with everything sent ahead: the gate gives what the server gives, and never hangs."""

import random

import psycopg
import pytest
from tests.attacks.gateway.wire_client import WireClient
from tests.cli.test_operate_sessions import OPERATE, approvers, given  # noqa: F401 - a fixture
from tests.live_deployment import OPERATOR

from ringfort.pgwire import backend as be
from ringfort.pgwire.frontend import (
    Bind,
    CopyData,
    CopyDone,
    CopyFail,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    serialise_frontend,
)

COPY = b"COPY vault (id, owner_id) FROM STDIN"
END = Query(b"SELECT 'the end'")
ASIDE = be.ParameterStatus | be.NoticeResponse


def run(text):
    return [Parse(b"", text), Bind(b"", b""), Execute(b"")]


def data(draw):
    items = [CopyData(b"%d\t1\n" % draw.randrange(10**6, 10**9)) for _ in range(draw.randrange(3))]
    if draw.random() < 0.25:
        items.insert(0, CopyData(b"no number\t1\n"))
    return [*items, CopyFail(b"stop") if draw.random() < 0.25 else CopyDone()]


def segment(draw):
    """One simple or extended segment; what a client may send without reading."""
    kind = draw.randrange(6)
    if kind == 0:
        return [Query(draw.choice([b"SELECT 1", b"SELECT 1/0", b"BEGIN", b"COMMIT"]))]
    if kind == 1:
        return data(draw)  # outside of COPY: ignored
    if kind == 2:
        return [Query(COPY), *data(draw)]
    steps = [
        *(run(b"SELECT 1") if draw.random() < 0.5 else []),
        *(run(b"SELECT 1/0") if draw.random() < 0.3 else []),
    ]
    early = [Sync()] if draw.random() < 0.3 else [Flush()] if draw.random() < 0.3 else []
    return [*steps, *run(COPY), *early, *data(draw), Sync()]


def conversation(client, items):
    """What comes back, up to the answer of `END`: kinds, SQLSTATEs, rows and states."""
    client.send(b"".join(map(serialise_frontend, [*items, Query(b"ROLLBACK"), END])))
    told = []
    while True:
        item = client.next()
        assert item is not None, told
        if isinstance(item, ASIDE):
            continue
        if isinstance(item, be.ErrorResponse):
            told.append(("error", item.fields["C"]))
        elif isinstance(item, be.DataRow):
            told.append(("row", item.values))
        elif isinstance(item, be.ReadyForQuery):
            told.append(("ready", item.status))
            if ("row", (b"the end",)) in told:
                return told
        else:
            told.append((type(item).__name__, getattr(item, "tag", b"")))


@pytest.mark.parametrize("seed", range(40))
def test_any_sequence_gives_what_the_server_gives(own_live, granted, seed):
    draw = random.Random(seed)
    items = [item for _ in range(draw.randrange(1, 6)) for item in segment(draw)]
    told = []
    for dsn in (own_live.admin_dsn(), own_live.dsn(OPERATOR, **granted)):
        with WireClient(dsn, timeout=30) as client:
            told.append(conversation(client, items))
        with psycopg.connect(own_live.admin_dsn()) as admin:
            admin.execute("DELETE FROM vault WHERE id >= 1000000")
    assert told[1] == told[0]


@pytest.fixture(scope="module")
def granted(own_live, approvers):  # noqa: F811 - the fixture
    grant = given(own_live, approvers)
    return {"purpose": grant["purpose"], "ticket": grant["ticket"], "options": OPERATE}
