"""Local calls between processes: frames, errors, loss, pacing."""

import asyncio
import contextlib
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfort.errors import MissingEnvironmentError, RingfortError, UsageError
from ringfort.gateway.ipc import (
    MAX_FRAME,
    FrameError,
    FrameReader,
    IpcClient,
    IpcLostError,
    IpcServer,
    IpcTimeoutError,
    RemoteError,
    encode_frame,
)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


@contextlib.asynccontextmanager
async def serving(path, handler):
    server = IpcServer(path, handler)
    await server.start()
    client = IpcClient(path, timeout=5)
    try:
        yield client, server
    finally:
        client.close()
        await server.stop()


def mode_of(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


async def echo(op, request):
    if op == "slow":
        await asyncio.sleep(request["seconds"])
    if op == "refuse":
        raise UsageError("not `this`", hint="try that", sqlstate="42501")
    if op == "crash":
        raise ValueError("secret-value")
    if op == "large":
        return {"text": "x" * (MAX_FRAME + 1)}
    return {"op": op, **request}


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers(-(2**60), 2**60)), max_size=5),
    st.integers(1, 9),
)
def test_frames_cut_anywhere_come_out_whole(messages, step):
    data = b"".join(encode_frame(each) for each in messages)
    reader = FrameReader()
    got = []
    for start in range(0, len(data), step):
        got += reader.feed(data[start : start + step])
    assert got == messages


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\1{", b"\0\0\0\0"])
def test_malformed_frames_are_refused(data):
    with pytest.raises(FrameError):
        FrameReader().feed(data)


def test_a_message_over_the_limit_is_refused():
    with pytest.raises(FrameError):
        encode_frame({"text": "x" * MAX_FRAME})


def test_requests_overlap_and_find_their_answers(path):
    async def main():
        async with serving(path, echo) as (client, _):
            slow = asyncio.ensure_future(client.request("slow", seconds=0.2))
            assert await client.request("quick", value=[1, "zwei"]) == {"op": "quick", "value": [1, "zwei"]}
            assert not slow.done()
            assert (await slow)["seconds"] == 0.2
            many = await asyncio.gather(*(client.request("n", value=n) for n in range(1000)))
            assert [each["value"] for each in many] == list(range(1000))

    asyncio.run(main())


def test_errors_carry_message_hint_and_sqlstate_but_never_an_unplanned_text(path, capsys):
    async def main():
        async with serving(path, echo) as (client, _):
            with pytest.raises(RemoteError) as refused:
                await client.request("refuse")
            assert (refused.value.message, refused.value.hint, refused.value.sqlstate) == (
                "not `this`",
                "try that",
                "42501",
            )
            with pytest.raises(RemoteError) as crashed:
                await client.request("crash")
            assert crashed.value.message == "internal error"
            with pytest.raises(RingfortError):
                await client.request("large")
            assert (await client.request("after"))["op"] == "after"

    asyncio.run(main())
    assert "secret-value" not in capsys.readouterr().err


def test_a_timeout_leaves_the_connection_usable(path):
    async def main():
        async with serving(path, echo) as (client, _):
            with pytest.raises(IpcTimeoutError):
                await client.request("slow", seconds=0.1, timeout=0.01)
            assert (await client.request("after"))["op"] == "after"
            await asyncio.sleep(0.15)
            assert (await client.request("later"))["op"] == "later"

    asyncio.run(main())


def test_a_lost_server_fails_what_is_in_flight_and_a_new_one_is_found(path):
    async def main():
        async with serving(path, echo) as (client, server):
            flying = asyncio.ensure_future(client.request("slow", seconds=60))
            await asyncio.sleep(0.05)
            await server.stop()
            with pytest.raises(IpcLostError):
                await flying
            with pytest.raises(IpcLostError):
                await client.request("nobody")
            await server.start()
            assert (await client.request("again"))["op"] == "again"

    asyncio.run(main())


def test_the_socket_is_private_and_a_stale_one_is_replaced(path):
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()

    async def main():
        async with serving(path, echo) as (client, _):
            assert mode_of(path) == 0o600
            assert (await client.request("x"))["op"] == "x"
            with pytest.raises(MissingEnvironmentError):
                await IpcServer(path, echo).start()
            assert (await client.request("still"))["op"] == "still"

    asyncio.run(main())
    assert not Path(path).exists()


def test_a_file_in_the_way_is_not_removed(path):
    Path(path).write_text("mine")
    with pytest.raises(MissingEnvironmentError):
        asyncio.run(IpcServer(path, echo).start())
    assert Path(path).read_text() == "mine"


def test_a_malformed_frame_ends_the_connection(path):
    async def main():
        async with serving(path, echo):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\xff\xff\xff\xff")
            assert await reader.read() == b""
            writer.close()

    asyncio.run(main())
