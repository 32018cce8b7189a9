"""Whatever waits in whatever order: once it is settled, both sides are read, and the answers are right.

The relay stands between a client that sends without waiting, a model of PostgreSQL, a ledger and a parser
that answer when the machine says so, and two transports that take bytes or not.
"""

import asyncio
from collections import deque

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.properties.gateway.simulated_server import SimulatedServer, kinds
from tests.unit.gateway.simulators import Bench, verdict

from ringfort.gateway.forwarding import EVIDENCE_MOST, OWED_MOST, UNREAD_MOST
from ringfort.gateway.relay import HELD_MOST
from ringfort.gateway.verdicts import Known
from ringfort.pgwire import backend as be
from ringfort.pgwire import frontend as fe
from ringfort.pgwire.evidence import read_evidence

READ = 262_144  # what a transport gives at most at once
LONGEST = 400_000  # message
UNRECORDED_MOST = EVIDENCE_MOST + LONGEST
ROW = ord("D")
NAMES = st.sampled_from([b"", b"a", b"b"])
TEXTS = st.sampled_from(
    [b"SELECT %d"] * 4 + [b"SELECT many %d", b"SELECT big %d", b"SELECT fail %d", b"DROP %d"]
)
STEPS = ["ledger", "parser", "server", "site", "client"]


def refused(sql):
    return not verdict(sql.decode()).allowed


class Verdicts:
    """A parser that answers when it is told to."""

    def __init__(self):
        self.known = {}
        self.asked = deque()

    def lookup(self, sql):
        return self.known.get(bytes(sql))

    async def ask(self, sql):
        waiter = asyncio.get_running_loop().create_future()
        self.asked.append((bytes(sql), waiter))
        return await waiter

    def learn(self, sql):
        if sql not in self.known:
            self.known[sql] = Known(verdict(sql.decode()))

    def answer(self, *, keep):
        sql, waiter = self.asked.popleft()
        known = self.known.get(sql) or Known(verdict(sql.decode()))
        if keep:
            self.known[sql] = known
        if not waiter.done():
            waiter.set_result(known)


class RelayMachine(RuleBasedStateMachine):
    """The client's bytes go `unsent` -> relay -> site -> server -> `answers` -> relay -> `got`."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.sent = bytearray()
        self.unsent = bytearray()
        self.answers = bytearray()
        self.got = bytearray()
        self.durable = set()
        self.looked_at = self.recorded = 0
        self.site_takes = self.client_takes = True
        self.verdicts = Verdicts()
        self.server = SimulatedServer()
        self.bench = Bench(known=False, message_bytes=LONGEST)
        self.bench.relay._forwarder._verdicts = self.verdicts
        self.bench.relay.recorder._admit = self._admit

    @initialize(known=st.booleans())
    def begin(self, known):
        self.all_known = known

    def teardown(self):
        try:
            if hasattr(self, "all_known"):
                self.settle(STEPS[::-1])
        finally:
            self.bench.relay.leave("test over")
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def _admit(self, entry, evidence, done):
        """As the simulated ledger, without reading each entry."""
        ledger = self.bench.ledger
        ledger.entries.append(entry)
        ledger.evidence.append(evidence)
        ledger.waiting.append(done)

    def run(self, what, *arguments):
        """Call it in the loop, and let what it woke run; look at what was released."""

        async def turn():
            what(*arguments)
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())
        ledger = self.bench.ledger
        while self.recorded < len(ledger.entries) - len(ledger.waiting):
            self.durable.add(read_evidence(ledger.evidence[self.recorded][32:]).sql)
            self.recorded += 1
        self.got += self.bench.client.take()
        while len(self.got) > self.looked_at + 5:
            end = (
                self.looked_at + 1 + int.from_bytes(self.got[self.looked_at + 1 : self.looked_at + 5], "big")
            )
            if end > len(self.got):
                break
            if self.got[self.looked_at] == ROW:
                row = be.parse_backend(ROW, bytes(self.got[self.looked_at + 5 : end]))
                assert row.values[0].rstrip(b".") in self.durable
            self.looked_at = end

    # -- the client ----------------------------------------------------------------------------------

    def say(self, *items):
        if self.all_known:
            for item in items:
                if isinstance(item, fe.Query | fe.Parse):
                    self.verdicts.learn(item.sql)
        data = b"".join(map(fe.serialise_frontend, items))
        self.sent += data
        self.unsent += data

    def text(self, form):
        self.number += 1
        return form % self.number

    @rule(form=TEXTS, times=st.sampled_from([1, 1, 1, 3, 40]))
    def query(self, form, times):
        self.say(*[fe.Query(self.text(form)) for _ in range(times)])

    @rule(form=st.sampled_from([b"BEGIN", b"COMMIT"]))
    def transaction(self, form):
        self.say(fe.Query(form))

    @rule(name=NAMES, form=TEXTS)
    def parse(self, name, form):
        self.say(fe.Parse(name, self.text(form)))

    @rule(portal=NAMES, name=NAMES, size=st.sampled_from([0, 10, 10, 70_000, 300_000]))
    def bind(self, portal, name, size):
        self.say(fe.Bind(portal, name, (), (b"x" * size,)))

    @rule(portal=NAMES, rows=st.sampled_from([0, 0, 1, 3]), times=st.sampled_from([1, 1, 2, 300]))
    def execute(self, portal, rows, times):
        self.say(*[fe.Execute(portal, rows)] * times)

    @rule(kind=st.sampled_from([b"S", b"P"]), name=NAMES, close=st.booleans())
    def target(self, kind, name, close):
        self.say(fe.Close(kind, name) if close else fe.Describe(kind, name))

    @rule(name=NAMES, times=st.sampled_from([1, 2]))
    def run_prepared(self, name, times):
        for _ in range(times):
            self.say(fe.Bind(b"", name), fe.Describe(b"P", b""), fe.Execute(b""), fe.Sync())

    @rule()
    def sync(self):
        self.say(fe.Sync())

    @rule(item=st.sampled_from([fe.Flush(), fe.CopyData(b"x"), fe.FunctionCall(b"x")]))
    def other(self, item):
        self.say(item)

    @rule(close=st.booleans())
    def flood(self, close):
        """Of answers that are owed; those to a Close are so short that the server keeps them for long."""
        item = fe.Close(b"S", b"none") if close else fe.Query(b"SELECT 0")
        self.say(*[item] * (OWED_MOST + 200))

    @rule(sync=st.booleans())
    def flood_of_values(self, sync):
        """Few bytes that stand for many: each Execute is recorded with the values of its Bind."""
        self.say(fe.Parse(b"", b"SELECT 0"), fe.Bind(b"", b"", (), (b"x" * 100_000,)))
        self.say(*[fe.Execute(b"", 1)] * 200, *[fe.Sync()] * sync)

    @rule(first=st.sampled_from([fe.Query(b"BEGIN"), None]))
    def long_message_behind_what_waits(self, first):
        self.say(first or fe.Parse(b"b", self.text(b"SELECT %d")), fe.Bind(b"", b"", (), (b"x" * 300_000,)))
        self.client_sends(READ)
        self.client_sends(READ)

    @rule(count=st.sampled_from([1, 6]))
    def long_answers(self, count):
        self.say(*[fe.Query(self.text(b"SELECT big %d")) for _ in range(count)])
        self.client_sends(READ)
        while self.verdicts.asked:
            self.parser_answers(keep=False)
        self.server_reads()
        self.server_answers(READ)
        self.server_answers(READ)

    @rule(size=st.sampled_from([1, 3, 17, 200, 70_000, READ, READ, READ]))
    def client_sends(self, size):
        if self.unsent and self.bench.client.reading:
            data = bytes(self.unsent[:size])
            del self.unsent[:size]
            before = len(self.bench.ledger.entries)
            self.run(self.bench.relay.from_client, data)
            assert not self.bench.ledger.crowded or len(self.bench.ledger.entries) == before

    # -- the rest of the world -----------------------------------------------------------------------

    @rule(count=st.sampled_from([1, 1, 5, None]))
    def records_become_durable(self, count):
        self.run(self.bench.ledger.settle, count)

    @rule(crowded=st.booleans())
    def ledger_is_crowded(self, crowded):
        self.bench.ledger.crowded = crowded
        if not crowded:
            self.run(self.bench.relay.relieved)

    @rule(keep=st.booleans())
    def parser_answers(self, keep):
        if self.verdicts.asked:
            self.run(lambda: self.verdicts.answer(keep=keep))

    @rule()
    def server_reads(self):
        if self.site_takes:
            self.server.feed(self.bench.site.take())
            self.answers += self.server.out
            self.server.out.clear()

    @rule(size=st.sampled_from([1, 5, 30, 1_000, 70_000, READ, READ, READ]))
    def server_answers(self, size):
        if self.answers and self.bench.site.reading:
            data = bytes(self.answers[:size])
            del self.answers[:size]
            self.run(self.bench.relay.from_site, data)

    @rule(takes=st.booleans())
    def site_transport(self, takes):
        if takes != self.site_takes:
            self.site_takes = takes
            self.run(self.bench.relay.site_takes, takes)

    @rule(takes=st.booleans())
    def client_transport(self, takes):
        if takes != self.client_takes:
            self.client_takes = takes
            self.run(self.bench.relay.client_takes, takes)

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def it_goes_on_and_memory_is_bounded(self):
        bench, relay = self.bench, self.bench.relay
        assert not relay.over, bench.ended
        assert relay._held_bytes <= HELD_MOST + READ
        assert not bench.site.reading or (self.client_takes and relay._held_bytes <= HELD_MOST)
        assert not bench.client.reading or (self.site_takes and len(relay.exchange.awaited) <= OWED_MOST)
        assert relay._forwarder._reader.buffered <= LONGEST + UNREAD_MOST + READ
        waiting = bench.ledger.evidence[len(bench.ledger.evidence) - len(bench.ledger.waiting) :]
        assert sum(map(len, waiting)) <= UNRECORDED_MOST

    def _progress(self):
        bench = self.bench
        return [
            *map(len, (self.unsent, self.answers, self.got, bench.ledger.entries, bench.ledger.waiting)),
            len(self.verdicts.asked),
            len(bench.site.written),
        ]

    @rule(order=st.permutations(STEPS))
    def settle(self, order):
        """Nothing is left undone by anybody; then nothing may be left."""
        bench, relay = self.bench, self.bench.relay
        self.site_transport(takes=True)
        self.client_transport(takes=True)
        self.ledger_is_crowded(crowded=False)
        steps = {
            "ledger": self.records_become_durable,
            "parser": self.parser_answers,
            "server": self.server_reads,
            "site": self.server_answers,
            "client": self.client_sends,
        }
        more = {
            "ledger": {"count": None},
            "parser": {"keep": True},
            "site": {"size": READ},
            "client": {"size": READ},
        }
        before = None
        while before != (before := self._progress()):
            for name in order:
                while before_step(self, steps[name], more.get(name, {})):
                    self.it_goes_on_and_memory_is_bounded()
        assert (bench.client.reading, bench.site.reading) == (True, True)
        assert not any((self.unsent, self.answers, relay._held, bench.ledger.waiting, bench.site.written))
        if self.server.kept:
            return  # what a client did not ask for by Sync or Flush
        assert not relay.exchange.awaited
        model = SimulatedServer(refused)
        model.feed(bytes(self.sent))
        assert kinds(self.got) == kinds(model.out + model.kept)
        recorded = [read_evidence(each[32:]).sql for each in bench.ledger.evidence]
        for sql in set(self.server.ran):
            assert self.server.ran.count(sql) <= recorded.count(sql), sql


def before_step(machine, step, arguments):
    """Do it; whether anything changed."""
    before = machine._progress()
    step(**arguments)
    return machine._progress() != before


RelayMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make such a failure smaller takes minutes
)
TestRelayNeverStops = RelayMachine.TestCase
