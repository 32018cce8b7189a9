"""The parser's pool of readers, with simulated readers: a text that ends its reader costs that text only."""

import asyncio
import contextlib

import pytest

from ringfort.errors import RingfortError
from ringfort.gateway.reader_pool import NOT_UTF8, TOO_SLOW, Parser, ReaderLostError
from ringfort.gateway.text_queue import SHORT_BYTES, Budgets, TextQueue

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
        return {"allowed": True, "sqlstate": "", "text": sql}

    async def stop(self):
        self.running = False
        self.log.append("stop")


async def until(condition):
    """Let the others run until `condition` holds."""
    while not condition():  # noqa: ASYNC110 - simulated: at its own step
        await asyncio.sleep(0)


def with_parser(scenario, readers=1, queue=None):
    async def run():
        log = []
        gate = asyncio.Event()
        parser = Parser(readers=readers, make_reader=lambda: SimulatedReader(log, gate), queue=queue)
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
        for slot in parser._slots:
            slot.reader.running = False
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


def test_texts_that_nobody_waits_for_are_never_read():
    async def scenario(parser, log, gate):
        first = asyncio.ensure_future(parser.verdict("wait", SURFACE, "ann", "1"))
        await until(lambda: "wait" in log)
        gone = [asyncio.ensure_future(parser.verdict(f"gone{n}", SURFACE, "ann", str(n))) for n in range(50)]
        stays = asyncio.ensure_future(parser.verdict("gone7", SURFACE, "ben", "b"))  # wants one of these, too
        await until(lambda: len(parser._queue) == 51)
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert len(parser._queue) == 1
        gate.set()
        assert (await stays)["text"] == "gone7"
        await first
        assert log == ["start", "wait", "gone7"]
        assert not parser._asked
        assert not parser._reading

    with_parser(scenario)


def test_one_principals_flood_costs_another_one_turn():
    async def scenario(parser, log, gate):
        first = asyncio.ensure_future(parser.verdict("wait", SURFACE, "ann", "0"))
        await until(lambda: "wait" in log)
        flood = [asyncio.ensure_future(parser.verdict(f"f{n}", SURFACE, "ann", str(n))) for n in range(100)]
        await until(lambda: len(parser._queue) == 100)
        other = asyncio.ensure_future(parser.verdict("other", SURFACE, "ben", "b"))
        await until(lambda: len(parser._queue) == 101)
        gate.set()
        await asyncio.gather(first, other, *flood)
        assert log.index("other") <= 4

    with_parser(scenario)


def test_a_text_that_many_ask_for_is_read_in_the_earliest_turn():
    async def scenario(parser, log, gate):
        first = asyncio.ensure_future(parser.verdict("wait", SURFACE, "ann", "0"))
        await until(lambda: "wait" in log)
        flood = [asyncio.ensure_future(parser.verdict(f"f{n}", SURFACE, "ann", str(n))) for n in range(100)]
        await until(lambda: len(parser._queue) == 100)
        other = asyncio.ensure_future(parser.verdict("f99", SURFACE, "ben", "b"))  # the last of ann's
        await until(lambda: len(parser._queue) == 101)
        gate.set()
        await asyncio.gather(first, other, *flood)
        assert log.index("f99") <= 4
        assert log.count("f99") == 1

    with_parser(scenario)


def test_long_texts_leave_a_reader_to_short_ones():
    async def scenario(parser, log, gate):
        long = "wait" + "x" * SHORT_BYTES
        heavy = [
            asyncio.ensure_future(parser.verdict(f"{long}{n}", SURFACE, "ann", str(n))) for n in range(9)
        ]
        await until(lambda: any(each.startswith("wait") for each in log))
        for text in ("a", "b", "c"):
            assert (await parser.verdict(text, SURFACE, "ann", "s"))["text"] == text
        assert sum(each.startswith("wait") for each in log) == 1
        gate.set()
        await asyncio.gather(*heavy)

    with_parser(scenario, readers=2)


@pytest.mark.parametrize(("spent", "sqlstate"), [(0.0, "57014"), (100.0, "53400")])
def test_what_waits_too_long_is_refused_and_says_why(spent, sqlstate):
    async def scenario(parser, log, gate):
        first = asyncio.ensure_future(parser.verdict("wait", SURFACE, "ann", "0"))
        await until(lambda: "wait" in log)
        parser._queue.budgets.charge("ben", "b", spent, asyncio.get_running_loop().time())
        answer = await parser.verdict("a", SURFACE, "ben", "b")
        assert (answer["allowed"], answer["sqlstate"]) == (False, sqlstate)
        assert answer["hint"]
        gate.set()
        await first
        assert (await parser.verdict("a", SURFACE, "ben", "b"))["text"] == "a"  # nothing of it is remembered

    with_parser(scenario, queue=TextQueue(wait_seconds=0.01, budgets=Budgets(session=10.0)))


def test_when_there_is_no_room_the_newest_of_who_has_most_is_refused():
    async def scenario(parser, log, gate):
        first = asyncio.ensure_future(parser.verdict("wait", SURFACE, "ann", "0"))
        await until(lambda: "wait" in log)
        flood = [asyncio.ensure_future(parser.verdict(f"f{n}", SURFACE, "ann", str(n))) for n in range(4)]
        await until(lambda: len(parser._queue) == 4)
        other = asyncio.ensure_future(parser.verdict("other", SURFACE, "ben", "b"))
        assert (await flood[3])["sqlstate"] == "53000"
        gate.set()
        answers = await asyncio.gather(first, other, *flood[:3])
        assert all(each["allowed"] for each in answers)

    with_parser(scenario, queue=TextQueue(most_texts=4))


def test_a_reader_that_cannot_be_started_is_tried_again():
    async def scenario(parser, log, gate):
        slot = parser._slots[0]
        starts = []
        make = parser._make_reader

        def failing():
            reader = make()
            if not starts:

                async def refuse():
                    raise ReaderLostError("no process")

                reader.start = refuse
            starts.append(reader)
            return reader

        parser._make_reader = failing
        slot.reader.running = False
        assert (await parser.verdict("a", SURFACE))["text"] == "a"
        assert len(starts) == 2

    with contextlib.suppress(asyncio.CancelledError):
        with_parser(scenario)
