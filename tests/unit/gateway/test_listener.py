"""Two listeners of one socket, as two workers have it; the sockets are real, the workers are not."""

import asyncio
import os
import socket

import pytest

from ringfort.gateway.board import Board, make_board
from ringfort.gateway.listener import Listener


class SimulatedWorker:
    def __init__(self, listening, descriptor, slot):
        self.taken = []
        self.listener = Listener(
            listening.dup(), Board(descriptor, slot), lambda: len(self.taken), self.taken.append
        )

    def end(self):
        self.listener.stop()
        for each in self.taken:
            each.close()


@pytest.fixture
def listening():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        made.setblocking(False)
        yield made


def run(listening, scenario):
    descriptor = make_board()

    async def main():
        workers = [SimulatedWorker(listening, descriptor, slot) for slot in range(2)]
        clients = []

        def connect():
            clients.append(socket.create_connection(listening.getsockname()))

        async def settled(count):
            async with asyncio.timeout(5):
                while sum(len(each.taken) for each in workers) < count:  # noqa: ASYNC110 - no event to wait for
                    await asyncio.sleep(0.001)

        try:
            await scenario(workers, connect, settled)
        finally:
            for each in workers:
                each.end()
            for each in clients:
                each.close()

    try:
        asyncio.run(main())
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("at_once", [True, False])
def test_connections_are_spread_evenly(listening, at_once):
    async def scenario(workers, connect, settled):
        for each in workers:
            each.listener.start()
        for number in range(8):
            connect()
            if not at_once:
                await settled(number + 1)
        await settled(8)
        assert [len(each.taken) for each in workers] == [4, 4]

    run(listening, scenario)


def test_what_the_lighter_one_does_not_take_is_taken_all_the_same(listening):
    async def scenario(workers, connect, settled):
        busy, other = workers
        busy.listener.start()
        asyncio.get_running_loop().remove_reader(busy.listener._socket)  # it is at something else
        other.listener.start()
        for _ in range(5):
            connect()
        await settled(5)
        assert len(other.taken) == 5
        asyncio.get_running_loop().add_reader(busy.listener._socket, busy.listener._readable)

    run(listening, scenario)


def test_one_that_stops_leaves_the_queue_to_the_others(listening):
    async def scenario(workers, connect, settled):
        first, other = workers
        first.listener.start()
        connect()
        await settled(1)
        connect()
        first.listener.stop()
        other.listener.start()
        await settled(2)
        assert len(other.taken) == 1
        connect()
        await settled(3)

    run(listening, scenario)


def test_one_that_stops_while_it_is_patient(listening):
    async def scenario(workers, connect, settled):
        first, other = workers
        first.taken += [socket.socket() for _ in range(3)]
        first.listener.start()
        other.listener.start()
        asyncio.get_running_loop().remove_reader(other.listener._socket)
        connect()
        async with asyncio.timeout(5):
            while first.listener._timer is None:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0)
        first.listener.stop()
        asyncio.get_running_loop().add_reader(other.listener._socket, other.listener._readable)
        await settled(4)
        assert len(other.taken) == 1

    run(listening, scenario)
