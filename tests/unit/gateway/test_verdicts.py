import asyncio

from tests.unit.gateway.simulators import SimulatedParser

from ringfort.disclosure.statements import Surface, Verdict
from ringfort.gateway.verdicts import GENERATION, Known, Memory, Verdicts

SURFACE = Surface(frozenset({"t"}))


def test_texts_that_differ_in_constants_are_read_once():
    parser = SimulatedParser()
    verdicts = Verdicts(parser, 1_000).for_surface(SURFACE)
    asyncio.run(verdicts.ask(b"SELECT a FROM t WHERE b = 1"))
    assert verdicts.lookup(b"SELECT a FROM t WHERE b = 22").allowed
    assert verdicts.lookup(b"SELECT a FROM t WHERE b = 'x'") is None
    assert verdicts.lookup(b"SELECT a FROM t WHERE c = 1") is None


def test_a_verdict_that_depends_on_a_literal_is_for_that_text_only():
    class Literal(SimulatedParser):
        async def request(self, op, **fields):
            return {**await super().request(op, **fields), "literal_dependent": True}

    verdicts = Verdicts(Literal(), 1_000).for_surface(SURFACE)
    asyncio.run(verdicts.ask(b"SELECT 1"))
    assert verdicts.lookup(b"SELECT 1").allowed
    assert verdicts.lookup(b"SELECT 2") is None


def test_surfaces_do_not_share():
    verdicts = Verdicts(SimulatedParser(), 1_000)
    one, other = verdicts.for_surface(SURFACE), verdicts.for_surface(Surface(frozenset({"u"})))
    asyncio.run(one.ask(b"SELECT 1"))
    assert other.lookup(b"SELECT 1") is None
    assert verdicts.for_surface(Surface(frozenset({"t"}))) is one


def test_memory_is_bounded_and_keeps_what_is_used():
    memory = Memory(10)
    memory.put(b"kept", 0)
    for number in range(1000):
        memory.put(b"%d" % number, number)
        assert memory.get(b"kept") == 0
        assert len(memory.young) + len(memory._old) <= 20


def test_a_refusal_that_says_nothing_of_the_text_is_not_remembered():
    for sqlstate in ("53000", "53400", "54001", "57014"):

        class Busy(SimulatedParser):
            async def request(self, op, **fields):
                refused = Verdict(allowed=False, kind="utility", sqlstate=sqlstate, reason="busy")  # noqa: B023
                return refused.to_json() if len(self.asked) == 0 else await super().request(op, **fields)

        parser = Busy()
        verdicts = Verdicts(parser, 1_000).for_surface(SURFACE).of_session("ann", "1")
        refused = asyncio.run(verdicts.ask(b"SELECT 1"))
        assert (refused.allowed, refused.sqlstate) == (False, sqlstate)
        assert verdicts.lookup(b"SELECT 1") is None


def test_a_session_is_named_and_may_cancel_what_waits_to_be_read():
    async def scenario():
        asked, ended = [], []

        class Slow(SimulatedParser):
            async def request(self, op, **fields):
                asked.append((fields["principal"], fields["session"]))
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(fields["sql"])

        shared = Verdicts(Slow(), 1_000).for_surface(SURFACE)
        session = shared.of_session("ann", "1")
        asking = asyncio.ensure_future(session.ask(b"SELECT 1"))
        while not asked:  # noqa: ASYNC110 - simulated: at its own step
            await asyncio.sleep(0)
        session.cancel()
        known = await asking
        assert (known.allowed, known.sqlstate) == (False, "57014")
        assert (asked, ended) == ([("ann", "1")], ["SELECT 1"])
        session.cancel()  # nothing waits: nothing happens
        gone = asyncio.ensure_future(session.ask(b"SELECT 2"))
        while len(asked) < 2:  # noqa: ASYNC110 - simulated: at its own step
            await asyncio.sleep(0)
        gone.cancel()  # the session is over
        await asyncio.gather(gone, return_exceptions=True)
        while len(ended) < 2:  # noqa: ASYNC110 - simulated: at its own step
            await asyncio.sleep(0)
        assert ended == ["SELECT 1", "SELECT 2"]

    asyncio.run(scenario())


def test_an_answer_out_of_form_refuses():
    class Broken(SimulatedParser):
        async def request(self, op, **fields):
            return {"allowed": True}

    verdicts = Verdicts(Broken(), 1_000).for_surface(SURFACE)
    assert not asyncio.run(verdicts.ask(b"SELECT 1")).allowed
    assert verdicts.lookup(b"SELECT 1") is None


def test_what_may_be_forwarded_at_once():
    def known(kind, shape="{}"):
        return Known(Verdict(allowed=True, kind=kind, shape=shape))

    assert known("read").at_once
    assert not known("copy_out").at_once
    assert not known("transaction").at_once
    assert not known("read", '{"statements":[{"kind":"prepare"}]}').at_once
    assert known("read", '{"cut":true}').prepares
    assert GENERATION > 0
