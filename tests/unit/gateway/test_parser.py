"""The parser's pool of readers, with simulated readers: a text that ends its reader costs that text only."""

import asyncio

import pytest

from ringfort.errors import RingfortError
from ringfort.gateway.parser import NOT_UTF8, TOO_SLOW, Parser, ReaderLostError

SURFACE = {"relations": ["customers"]}


class SimulatedReader:
    """Answers with the text; `crash...` ends it, `wait...` waits for the gate."""

    def __init__(self, log, gate=None):
        self.log = log
        self.gate = gate
        self.running = False
        self.busy = False

    async def start(self):
        self.running = True
        self.log.append("start")

    async def read(self, sql, surface_key, surface, seconds):
        assert self.running
        assert not self.busy
        assert surface == SURFACE
        self.busy = True
        self.log.append(sql)
        await asyncio.sleep(0)
        if sql.startswith("wait"):
            await self.gate.wait()
        if sql.startswith("crash"):
            self.running = False
            raise ReaderLostError("gone")
        self.busy = False
        return {"allowed": True, "text": sql}

    async def stop(self):
        self.running = False
        self.log.append("stop")


def with_parser(scenario, readers=1):
    async def run():
        log = []
        gate = asyncio.Event()
        parser = Parser(readers=readers, make_reader=lambda: SimulatedReader(log, gate))
        await parser.start()
        try:
            await scenario(parser, log, gate)
        finally:
            await parser.stop()

    asyncio.run(run())


def test_verdicts_are_remembered_by_text_and_surface():
    async def scenario(parser, log, gate):
        assert (await parser.verdict("a", SURFACE))["text"] == "a"
        assert (await parser.verdict("a", SURFACE))["text"] == "a"
        assert (await parser.verdict("b", SURFACE))["text"] == "b"
        assert log == ["start", "a", "b"]

    with_parser(scenario)


def test_a_text_that_ends_its_reader_is_refused_and_the_reader_replaced():
    async def scenario(parser, log, gate):
        assert await parser.verdict("crash", SURFACE) == TOO_SLOW.to_json()
        assert (await parser.verdict("a", SURFACE))["text"] == "a"
        assert log == ["start", "crash", "stop", "start", "a"]
        assert await parser.verdict("crash", SURFACE) == TOO_SLOW.to_json()
        assert log[-1] == "a"  # not tried again for a while

    with_parser(scenario)


def test_a_reader_that_died_between_texts_costs_nothing():
    async def scenario(parser, log, gate):
        for reader in parser._all:
            reader.running = False
        assert (await parser.verdict("a", SURFACE))["text"] == "a"
        assert log == ["start", "stop", "start", "a"]

    with_parser(scenario)


def test_the_same_text_asked_for_by_many_is_read_once():
    async def scenario(parser, log, gate):
        answers = await asyncio.gather(*(parser.verdict("a", SURFACE) for _ in range(20)))
        assert all(answer["text"] == "a" for answer in answers)
        assert log == ["start", "a"]

    with_parser(scenario)


def test_a_caller_that_goes_away_leaves_no_half_answer_behind():
    async def scenario(parser, log, gate):
        caller = asyncio.ensure_future(parser.verdict("wait", SURFACE))
        while "wait" not in log:  # noqa: ASYNC110 - the reader is simulated, and starts at its own step
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        other = asyncio.ensure_future(parser.verdict("a", SURFACE))
        await asyncio.sleep(0)
        gate.set()
        assert (await other)["text"] == "a"
        assert (await parser.verdict("wait", SURFACE))["text"] == "wait"
        assert log == ["start", "wait", "a"]

    with_parser(scenario)


def test_a_slow_text_leaves_the_other_reader_to_others():
    async def scenario(parser, log, gate):
        slow = asyncio.ensure_future(parser.verdict("wait", SURFACE))
        for text in ("a", "b", "c"):
            assert (await parser.verdict(text, SURFACE))["text"] == text
        gate.set()
        assert (await slow)["text"] == "wait"

    with_parser(scenario, readers=2)


def test_requests_out_of_form_are_refused():
    async def scenario(parser, log, gate):
        for op, request in (
            ("judge", {}),
            ("verdict", {}),
            ("verdict", {"sql": 1, "profile_surface": SURFACE}),
            ("verdict", {"sql": "a", "profile_surface": []}),
            ("verdict", {"sql": "a", "profile_surface": {}}),
        ):
            with pytest.raises(RingfortError):
                await parser.handle(op, request)
        answer = await parser.handle("verdict", {"sql": "a", "profile_surface": SURFACE})
        assert answer["text"] == "a"
        assert await parser.verdict("\ud800", SURFACE) == NOT_UTF8.to_json()

    with_parser(scenario)
