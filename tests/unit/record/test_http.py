from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import threading

import pytest
from tests.unit.ledger.ledger_in_memory import SHARD, small_ledger

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.ledger.tiles import decode_bundle
from ringfort.ledger.verify import verify
from ringfort.record.errors import NoLedgerError
from ringfort.record.http import LedgerServer
from ringfort.record.store import BlobStore, FolderStore, HttpStore, split_resource


@pytest.fixture
def folder(tmp_path):
    for path, data in small_ledger().store.items():
        target = tmp_path / "ledger" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (tmp_path / "ledger" / "index.json").write_bytes(b'{"logs":[]}')
    (tmp_path / "ledger" / "journal").mkdir()
    (tmp_path / "ledger" / "journal" / "00000001.seg").write_bytes(b"journal")
    (tmp_path / "ledger" / "blobs").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "ledger"


@pytest.fixture
def server(folder):
    with LedgerServer(folder, "127.0.0.1", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    with contextlib.closing(http.client.HTTPConnection(*server.server_address[:2], timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def test_a_served_ledger_verifies(server):
    with contextlib.closing(HttpStore(server.url)) as store:
        assert verify(store).ok
        assert store.read("control/tile/0/999") is None
        assert json.loads(store.get("")) == {"logs": []}


def test_content_types_and_caching_are_those_of_tlog_tiles(server, folder):
    status, headers, body = ask(server, "/control/checkpoint")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert headers["Cache-Control"] == "no-cache"
    assert body == (folder / "control" / "checkpoint").read_bytes()
    status, headers, body = ask(server, f"/traffic/{SHARD}/tile/0/000.p/9")
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert "immutable" in headers["Cache-Control"]
    assert len(body) == 9 * 32
    assert "Python" not in headers["Server"]


def test_entry_bundles_are_compressed_for_who_wants_it(server):
    path = f"/traffic/{SHARD}/tile/entries/000.p/9"
    _, headers, body = ask(server, path, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    _, plain_headers, plain = ask(server, path, **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain_headers
    assert gzip.decompress(body) == plain
    assert len(decode_bundle(plain, 9)) == 9


def test_head_has_no_body_and_nothing_else_is_answered(server):
    status, headers, body = ask(server, "/control/checkpoint", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 100
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/control/checkpoint", method)[0] in {405, 501}


@pytest.mark.parametrize(
    "path",
    [
        "/index.json",
        "/journal/00000001.seg",
        "/../secret",
        "/control/../../secret",
        "/control/%2e%2e/secret",
        "/control/checkpoint/",
        "/control/checkpoint?x=1",
        "/control",
        "/control/",
        "/control/tile/0/000",
        "/control/tile/0/000.p/7.new",
        "/control/tile/00/000.p/7",
        "/blobs",
        f"/traffic/{SHARD}",
        "/traffic/../control/checkpoint",
        "/traffic/%32026-11/checkpoint",
        "/lock",
        "/published",
        "http://127.0.0.1/control/checkpoint",
    ],
)
def test_only_published_files_can_be_named(server, path):
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    "path", ["", "control", "traffic/x/checkpoint/..", "traffic//checkpoint", "traffic/UPPER/checkpoint", "/"]
)
def test_resources_have_one_spelling(path, folder):
    assert FolderStore(folder).read(path) is None


def test_a_resource_is_split_in_log_and_path():
    assert split_resource("control/checkpoint") == ("control", "checkpoint")
    assert split_resource("traffic/2026-11/tile/0/000") == ("traffic/2026-11", "tile/0/000")


def test_a_taken_port_is_told(server, folder):
    for port in (server.server_address[1], 70_000):
        with pytest.raises(MissingEnvironmentError) as raised:
            LedgerServer(folder, "127.0.0.1", port)
        assert raised.value.exit_code == 3


@pytest.mark.parametrize("base", ["ftp://x", "http://", "x", "http://h:99999", "file:///etc"])
def test_what_is_no_http_address_is_refused(base):
    with pytest.raises(UsageError):
        HttpStore(base)


def test_an_origin_that_does_not_answer_is_told():
    with pytest.raises(NoLedgerError) as raised:
        HttpStore("http://127.0.0.1:9").read("control/checkpoint")
    assert raised.value.exit_code == 3


def test_blobs_are_content_addressed(tmp_path):
    from ringfort.record.errors import RecordError

    blobs = BlobStore(tmp_path)
    blobs.write([b"one"])
    blobs.place(b"two")
    one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert blobs.get(one) == b"one"
    assert blobs.has(one)
    assert blobs.get("ab" * 32) is None
    blobs.path(one).write_bytes(b"changed")
    with pytest.raises(RecordError, match="changed"):
        blobs.get(one)
    for name in ("", "../x", one.upper(), one[:-1]):
        with pytest.raises(RecordError):
            blobs.path(name)
