"""A writer that does not keep up: who admits is asked for patience, long before it is given up."""

import asyncio

from ringfort.record import frames
from ringfort.record.channel import (
    CROWDED_BYTES,
    CROWDED_WAITING,
    MAX_QUEUED_BYTES,
    LedgerChannel,
)

PIECE = b"e" * 100_000


class SlowWriter:
    """Speaks the protocol; reads what comes, and acknowledges it, only when it is let."""

    def __init__(self):
        self.may_read = asyncio.Event()
        self.items = 0
        self.over = asyncio.Event()

    async def serve(self, reader, writer):
        frame = frames.FrameReader()
        while not frame.feed(await reader.read(100)):
            pass
        writer.write(frames.json_frame(frames.WELCOME, {"v": 1, "origin": "o", "control_size": 0}))
        while True:
            await self.may_read.wait()
            data = await reader.read(1 << 16)
            if not data:
                break
            for _, payload in frame.feed(data):
                count = len(frames.traffic_items(payload))
                self.items += count
                writer.write(frames.ack([(count, True)]))
        writer.close()
        await writer.wait_closed()
        self.over.set()


async def talk(path, size, done_with):
    """Many admit whenever they may; gives the channel's losses, and how much was ever on its way."""
    slow, lost, room, durable = SlowWriter(), [], [], []
    server = await asyncio.start_unix_server(slow.serve, path)
    channel = await LedgerChannel.connect(
        str(path), actor="tester", on_control=lambda *_: None, on_lost=lost.append
    )
    channel.on_room = lambda: room.append(channel.crowded)
    admitted = most = 0
    for turn in range(2_000):
        for _ in range(200):  # sessions in one turn of the loop
            if channel.crowded:
                break
            channel.admit(b"{}", PIECE[:size], durable.append)
            admitted += 1
            most = max(most, admitted - slow.items)
        if turn == 100:
            slow.may_read.set()
        await asyncio.sleep(0)
        if slow.items > done_with:
            break
    else:
        slow.may_read.set()
    async with asyncio.timeout(30):
        while len(durable) < admitted and not lost:  # noqa: ASYNC110 - the channel has no event for it
            await asyncio.sleep(0.001)
        crowded = channel.crowded
        channel.close()
        await slow.over.wait()
    server.close()
    await server.wait_closed()
    return lost, room, durable, admitted, most, crowded


def test_long_evidence_of_many_waits_for_a_slow_writer(tmp_path):
    lost, room, durable, admitted, most, crowded = asyncio.run(talk(tmp_path / "w", len(PIECE), 900))
    assert not lost
    assert durable == [True] * admitted
    assert admitted > 900
    assert room
    assert room == [False] * len(room)
    assert not crowded
    assert most * len(PIECE) <= 3 * CROWDED_BYTES < MAX_QUEUED_BYTES


def test_many_small_entries_wait_for_a_slow_writer(tmp_path):
    lost, room, durable, admitted, most, crowded = asyncio.run(talk(tmp_path / "w", 10, 40_000))
    assert not lost
    assert durable == [True] * admitted
    assert admitted > 40_000
    assert room
    assert not crowded
    assert most <= CROWDED_WAITING + 1
