"""The ledger's HTTP server against clients that try to be read in two ways, or to take all its places."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from tests.unit.ledger.ledger_in_memory import small_ledger

from ringfort.record import http as ledger_http
from ringfort.record.http import LedgerServer, Places, network_of

SMUGGLED = b"GET /control/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def folder(tmp_path):
    for path, data in small_ledger().store.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return tmp_path


@contextlib.contextmanager
def serving(folder, **options):
    with LedgerServer(folder, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(folder):
    with serving(folder) as found:
        yield found


def exchange(server, data, *, end=False):
    """Everything that the server sends until it closes the connection."""
    with socket.create_connection(server.server_address[:2], timeout=60) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while block := connection.recv(65_536):
            received += block
    return received


def statuses(received):
    return [int(each[:3]) for each in received.split(b"HTTP/1.1 ")[1:]]


BODIES = [
    b"Content-Length: %d" % len(SMUGGLED),
    b"Content-Length: 0",
    b"content-length:%d" % len(SMUGGLED),
    b"Content-Length: +3",
    b"Content-Length: 3, 3",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: identity",
    b"Transfer_Encoding: chunked",
    b"Content_Length: 3",
    b"Transfer-Encoding: \x0bchunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nContent-Length: 3",
    b"Expect: 100-continue",
    b"TE: trailers",
]
ODD = [
    b"Content-Length : 3",
    b" Leading: x",
    b"X: y\r\n folded",
    b"X: y\r\n\tfolded",
    b"X: y\nY: z",
    b"X: y\rY: z",
    b"X: y\x00",
    b"X",
    b": x",
    b"X(y): z",
    b"Host: y",
    b"Connection: close\r\nConnection: keep-alive",
    b"Accept-Encoding: gzip\r\naccept-encoding: identity",
]


@pytest.mark.parametrize("field", [*BODIES, *ODD])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_what_could_be_read_in_two_ways_is_answered_400_and_ends(server, method, field):
    head = method + b" /control/checkpoint HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n"
    received = exchange(server, head + SMUGGLED)
    assert statuses(received) == [400]
    assert b"Connection: close" in received
    assert b"ledger.example" not in received


@pytest.mark.parametrize(
    "data",
    [
        b"GET /control/checkpoint HTTP/1.1\nHost: x\n\n" + SMUGGLED,
        b"GET  /control/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET\t/control/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint HTTP/1.1x\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint\r\n\r\n",
        b"\r\nGET /control/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /control/checkpoint HTTP/1.1\r\n\r\n",
        b"GET /control/check\x00point HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 70 + b"\r\n",
    ],
)
def test_a_malformed_request_is_answered_400_and_ends(server, data):
    assert statuses(exchange(server, data)) == [400]


def test_other_methods_end_the_connection_whatever_follows(server):
    for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"PATCH"):
        head = method + b" /control/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"
        assert statuses(exchange(server, head + SMUGGLED)) == [405]


def test_requests_one_after_another_are_answered_in_order(server):
    other = b"GET /nothing HTTP/1.1\r\nHost: x\r\nX: y\r\nx: z\r\n\r\n"
    assert statuses(exchange(server, SMUGGLED + other + SMUGGLED, end=True)) == [200, 404, 200]
    last = b"GET / HTTP/1.0\r\n\r\n"
    assert statuses(exchange(server, SMUGGLED + last + SMUGGLED)) == [200, 404]


def test_a_head_without_end_is_cut_off(server):
    received = exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000)
    assert statuses(received) in ([431], [])  # the answer may be lost to what was still being sent


def test_who_drips_or_sends_nothing_loses_the_place(folder, monkeypatch):
    monkeypatch.setattr(ledger_http, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(ledger_http, "HEAD_SECONDS", 0.2)
    with serving(folder) as server:
        assert exchange(server, b"") == b""
        assert statuses(exchange(server, b"GET / HTTP/1.1\r\nHost")) == [408]
        stop = threading.Event()
        with socket.create_connection(server.server_address[:2], timeout=60) as connection:

            def drip():
                while not stop.wait(0.02):
                    with contextlib.suppress(OSError):
                        connection.send(b"X")

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                with contextlib.suppress(ConnectionError):
                    while connection.recv(65_536):
                        pass
            finally:
                stop.set()
                dripping.join()


def test_places_are_capped_in_all_and_by_address(folder):
    with serving(folder, places=Places(3, 2)) as server, contextlib.ExitStack() as held:
        silent = [
            held.enter_context(socket.create_connection(server.server_address[:2], timeout=60))
            for _ in range(2)
        ]
        for each in silent:
            each.sendall(SMUGGLED)
            assert each.recv(1)
        assert statuses(exchange(server, SMUGGLED)) == [503]
        silent[0].shutdown(socket.SHUT_WR)
        while silent[0].recv(65_536):
            pass
        received = b"503"
        while b"503" in received[:16]:  # the place is given back after the connection has ended
            received = exchange(server, SMUGGLED, end=True)
        assert statuses(received) == [200]
    places = Places(3, 2)
    assert [places.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [places.take("192.0.2.2"), places.take("192.0.2.3")] == [True, False]
    places.free("192.0.2.1")
    assert places.take("192.0.2.3")


def test_one_client_is_one_address_or_one_network_of_64_bits():
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth1")
