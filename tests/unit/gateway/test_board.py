import os
import subprocess
import sys

import pytest

from ringfort.gateway.board import SLOTS, Board, make_board


@pytest.fixture
def descriptor():
    made = make_board()
    yield made
    os.close(made)


def test_the_lightest_of_those_who_accept(descriptor):
    one, other, looking = Board(descriptor, 0), Board(descriptor, SLOTS - 1), Board(descriptor)
    assert looking.lightest() is None
    one.tell(3)
    assert looking.lightest() == 3
    other.tell(0)
    assert one.lightest() == 0
    looking.withdraw(SLOTS - 1)
    assert other.lightest() == 3


def test_seats_are_counted_by_name_and_given_back(descriptor):
    board = Board(descriptor, 0)
    first, second = board.take_seat("wei", 2), board.take_seat("wei", 2)
    assert None not in {first, second}
    assert board.take_seat("wei", 2) is None
    assert board.take_seat("dana", 2) is not None
    board.leave_seat(first)
    assert board.take_seat("wei", 2) == first


def test_seats_are_shared_by_processes_and_a_dead_one_holds_none(descriptor):
    code = (
        "import sys; from ringfort.gateway.board import Board\n"
        f"board = Board({descriptor}, 1); print(board.take_seat('wei', 1), flush=True); sys.stdin.read()"
    )
    board = Board(descriptor, 0)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline().strip() != "None"
        assert board.take_seat("wei", 1) is None
        other.kill()
    assert board.take_seat("wei", 1) is not None
