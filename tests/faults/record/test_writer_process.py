"""The writer as a process with real clients: killed at any moment, raced, starved, told nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.faults.record.writer_process import (
    EVIDENCE_KEY,
    configuration,
    finish,
    ready,
    running,
    start,
)

from ringfort.ledger import entry_control as control
from ringfort.ledger import entry_traffic as traffic
from ringfort.ledger.entry import decode, encode, format_time
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition, ControlState
from ringfort.ledger.merkle import leaf_hash, root_of
from ringfort.ledger.verify import verify
from ringfort.record import frames
from ringfort.record.channel import LedgerChannel
from ringfort.record.disk import OsDisk
from ringfort.record.errors import LedgerLostError, RefusedError
from ringfort.record.evidence import EvidenceStore, Opener, digest
from ringfort.record.inspect import all_entries, check_journal, read_journal
from ringfort.record.store import BlobStore, FolderStore, HttpStore


def now():
    return format_time(datetime.now(UTC))


def basic(actor="tester"):
    return {"time": now(), "actor": actor}


def registered(name):
    facts = {"name": name, "country": "IE", "employer": "", "role": "support"}
    return encode(control.PrincipalRegistered(**basic(), **facts))


def admitted(session, seq, size, piece):
    return encode(
        traffic.StatementAdmitted(
            **basic("worker"),
            session=session,
            seq=seq,
            control=size,
            kind="read",
            shape="{}",
            evidence=digest(piece),
        )
    )


async def connect(config, told=None, lost=None):
    return await LedgerChannel.connect(
        config["socket"],
        actor="tester",
        on_control=(told or (lambda *_: None)),
        on_lost=(lost or (lambda _: None)),
    )


async def setup(channel, session):
    """Policy, catalogue, principal and a session, so that statements can follow."""
    bundle, catalogue, given = b"bundle", b"catalogue", b"input " + session.encode()
    entries = [
        encode(control.PolicyActivated(**basic(), bundle=hashlib.sha256(bundle).hexdigest(), evaluator="e")),
        encode(control.CatalogueActivated(**basic(), catalogue=hashlib.sha256(catalogue).hexdigest())),
        registered("maeve"),
        encode(
            control.SessionOpened(
                **basic(),
                session=session,
                principal="maeve",
                purpose="",
                ticket="",
                site="dublin-1",
                database="shop",
                viewer=(),
                storage_country="IE",
                processing_country="IE",
                viewing_country="IE",
                input=hashlib.sha256(given).hexdigest(),
                map=hashlib.sha256(given).hexdigest(),
                profile="ab" * 32,
                policy=hashlib.sha256(bundle).hexdigest(),
                catalogue=hashlib.sha256(catalogue).hexdigest(),
                zones="",
                evaluator="e",
            )
        ),
    ]
    return await channel.append(entries, blobs=[bundle, catalogue, given])


def check_ledger(config):
    """Verify a ledger folder as the command does; gives its entries."""
    folder = Path(config["folder"])
    view = read_journal(folder)
    store, blobs = FolderStore(folder), BlobStore(folder / "blobs")
    report = verify(store, has_blob=lambda each: blobs.get(each) is not None, names=store.names)
    assert report.ok, [str(each) for each in report.problems]
    _, problems = check_journal(folder, view, report.state)
    assert problems == []
    return [data for _, _, data, _ in all_entries(folder)]


def test_a_client_follows_the_control_log_and_knows_its_root(tmp_path):
    config = configuration(tmp_path)

    async def scenario():
        told, state = [], ControlState()
        first = await connect(config, lambda index, data: told.append((index, data)))
        other = await connect(config, lambda _, data: state.apply(data))
        assert [index for index, _ in told] == [0, 1]
        indices = await first.append([registered("una")])
        assert indices == [2]
        assert told[2][0] == 2  # told before `append` returned
        await other.append([registered("maeve")])
        while first.control_size < 4 or other.control_size < 4:  # noqa: ASYNC110 - told, not asked
            await asyncio.sleep(0.01)
        assert set(state.principals) == {"una", "maeve"}
        assert first.control_root == other.control_root
        assert first.control_root == root_of(leaf_hash(data) for _, data in told).hex()
        third = await connect(config)
        assert (third.control_size, third.control_root) == (first.control_size, first.control_root)
        for each in (first, other, third):
            each.close()

    with running(config) as (process, said):
        assert said["vkey"].startswith("ledger.example/test/control+")
        assert stat.S_IMODE(Path(config["socket"]).stat().st_mode) == 0o600
        asyncio.run(scenario())
        assert finish(process) == (0, "")
    assert not Path(config["socket"]).exists()
    assert len(check_ledger(config)) == 4


def test_evidence_is_sealed_and_found_by_who_holds_the_key(tmp_path):
    config = configuration(tmp_path)
    pieces = [os.urandom(32) + b"select * from customers where id = %d" % number for number in range(50)]

    async def scenario():
        channel = await connect(config)
        await setup(channel, "s1")
        for seq, piece in enumerate(pieces):
            await channel.put_traffic(admitted("s1", seq, channel.control_size, piece), piece)
        channel.close()

    with running(config) as (process, _):
        asyncio.run(scenario())
        assert finish(process)[0] == 0
    store = EvidenceStore(OsDisk(), Path(config["folder"]) / "evidence")
    for piece in pieces[::9]:
        assert store.find(Opener(EVIDENCE_KEY), digest(piece)) == piece
    for path in Path(config["folder"]).rglob("*"):
        assert not path.is_file() or b"select * from" not in path.read_bytes()
    assert sum(b"StatementAdmitted" in each for each in check_ledger(config)) == 50


def test_refusals_are_told_and_nothing_else_is_harmed(tmp_path):
    config = configuration(tmp_path)

    async def scenario():
        channel = await connect(config)
        await setup(channel, "s1")
        piece = os.urandom(32)
        good = admitted("s1", 1, channel.control_size, piece)
        answers = []
        channel.admit(admitted("s1", 0, channel.control_size, piece), piece, answers.append)
        channel.admit(b"nonsense", b"", answers.append)
        channel.admit(good, b"other evidence", answers.append)
        channel.admit(b"x" * 70_000, b"", answers.append)
        channel.note(b"more nonsense")
        channel.admit(good, piece, answers.append)
        while len(answers) < 5:  # noqa: ASYNC110 - callbacks, no future
            await asyncio.sleep(0.01)
        # What cannot be an entry is refused within the call, the others in their order.
        assert answers == [False, True, False, False, True]
        with pytest.raises(RefusedError):
            await channel.put_traffic(b"{}")
        assert channel.last_refusal
        with pytest.raises(RefusedError):
            await channel.append([registered("una"), b"{}"])
        with pytest.raises(RefusedError, match="blob"):
            await channel.append([encode(control.ZonesActivated(**basic(), zones="ab" * 32))])
        channel.close()

    with running(config) as (process, _):
        asyncio.run(scenario())
        code, errors = finish(process)
    assert code == 0
    assert "refused" in errors
    assert "nonsense" not in errors
    assert b"una" not in b"".join(check_ledger(config))


def test_of_appends_that_race_on_one_condition_one_wins(tmp_path):
    config = configuration(tmp_path)
    rounds, clients = 15, 4

    async def scenario():
        channels = [await connect(config) for _ in range(clients)]

        async def attempt(channel, name, since):
            try:
                await channel.append([registered(name)], condition=Condition((f"principal:{name}",), since))
            except ConditionFailedError:
                return 0
            return 1

        for number in range(rounds):
            since = min(each.control_size for each in channels)
            name = f"p{number}"
            won = await asyncio.gather(*(attempt(each, name, since) for each in channels))
            assert sum(won) == 1
        for each in channels:
            each.close()

    with running(config) as (process, _):
        asyncio.run(scenario())
        finish(process)
    names = [decode(each) for each in check_ledger(config) if b"PrincipalRegistered" in each]
    assert [each.name for each in names] == [f"p{number}" for number in range(rounds)]


class Load:
    """Statements and control entries as fast as they are acknowledged; remembers what was."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seq = 0
        self.acknowledged = []

    async def run(self, config, kill):
        """Go on until the writer is gone; `kill()` is called at some moment."""
        lost = asyncio.Event()
        channel = await connect(config, lost=lambda _: lost.set())
        if b"SessionOpened" not in b"".join(self.acknowledged):
            await setup(channel, "s0")
            self.acknowledged.append(b"SessionOpened")
        asyncio.get_running_loop().call_later(self.random.uniform(0.01, 0.6), kill)
        while not lost.is_set():
            for _ in range(self.random.randrange(40)):
                self._statement(channel)
            if self.random.random() < 0.1:
                data = registered(f"p{self.seq}")
                try:
                    await channel.append([data])
                except LedgerLostError:
                    break
                self.acknowledged.append(data)
            await asyncio.sleep(0.001)
        await lost.wait()

    def _statement(self, channel):
        piece = os.urandom(32) + b"select"
        entry = admitted("s0", self.seq, channel.control_size, piece)
        channel.admit(entry, piece, lambda durable: self.acknowledged.append(entry) if durable else None)
        self.seq += 1


def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged(tmp_path):
    config = configuration(tmp_path, merge_delay_seconds=0.15)
    work = Load(7)
    for _ in range(6):
        with running(config) as (process, _):
            asyncio.run(work.run(config, process.kill))
            process.wait(timeout=10)
            assert process.returncode == -9
        found = {data for _, _, data, _ in all_entries(Path(config["folder"]))}
        missing = [each for each in work.acknowledged[1:] if each not in found]
        assert missing == []
    assert len(work.acknowledged) > 500
    with running(config) as (process, _):
        assert finish(process) == (0, "")
    found = check_ledger(config)
    assert set(work.acknowledged[1:]) <= set(found)
    assert len(set(found)) == len(found)


def over_http(url):
    with contextlib.closing(HttpStore(url)) as store:
        return verify(store)


def test_a_ledger_verifies_over_http_while_it_is_written(tmp_path):
    config = configuration(tmp_path, merge_delay_seconds=0.1)

    async def scenario(url):
        channel = await connect(config)
        await setup(channel, "s0")
        work = Load(3)
        deadline = asyncio.get_running_loop().time() + 2.5
        loop = asyncio.get_running_loop()
        verified = 0
        checking = None
        while loop.time() < deadline:
            for _ in range(3):
                work._statement(channel)
            if work.seq % 150 == 0:
                await channel.append([registered(f"p{work.seq}")])
            if checking is not None and checking.done():
                report = checking.result()
                assert report.ok, [str(each) for each in report.problems]
                verified += 1
                checking = None
            if checking is None:
                checking = loop.run_in_executor(None, lambda: over_http(url))
            await asyncio.sleep(0.005)
        assert (await checking).ok
        assert verified > 1
        channel.close()

    serving = {"folder": config["folder"], "host": "127.0.0.1", "port": 0}
    with running(config), running(serving, "http") as served:
        deadline = datetime.now(UTC).timestamp() + 10
        while over_http(served[1]["url"]).vkey == "":
            assert datetime.now(UTC).timestamp() < deadline
        asyncio.run(scenario(served[1]["url"]))
    check_ledger(config)


def test_a_writer_that_cannot_write_says_so_and_acknowledges_nothing(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse to write beyond a size, as a full disk would."""
    config = configuration(tmp_path, segment_bytes=1 << 16, merge_delay_seconds=60.0)

    async def scenario(process):
        lost, answers = [], []
        channel = await connect(config, lost=lost.append)
        await setup(channel, "s0")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1 << 15, 1 << 15))
        work = Load(1)
        while not lost:
            for _ in range(50):
                work._statement(channel)
            await asyncio.sleep(0.002)
        channel.admit(b"{}", b"", answers.append)
        assert answers == [False]
        with pytest.raises(type(lost[0])):
            await channel.append([registered("una")])
        return lost[0], work.acknowledged

    with running(config) as (process, _):
        error, acknowledged = asyncio.run(scenario(process))
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "cannot be written" in str(error)
    assert "cannot be written" in errors.decode()
    with running(config) as (process, _):
        code, said = finish(process)
    assert code == 0
    assert all(" journal-torn " in each for each in said.splitlines())
    assert set(acknowledged) <= set(check_ledger(config))


def test_a_second_writer_is_refused(tmp_path):
    config = configuration(tmp_path)
    with running(config):
        second = start("writer", {**config, "socket": str(tmp_path / "other.sock")})
        _, errors = second.communicate(timeout=20)
        assert second.returncode == 3
        assert "held by another process" in errors.decode()


def test_a_client_that_talks_nonsense_is_cut_off_alone(tmp_path):
    config = configuration(tmp_path)

    def talk(data):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(config["socket"])
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(65_536):
                received += chunk
            return received

    hello = frames.json_frame(frames.HELLO, {"v": 1, "actor": "x", "follow": False})
    with running(config) as (process, _):
        for nonsense in (
            frames.frame(frames.TRAFFIC, b""),
            frames.json_frame(frames.HELLO, {"v": 2}),
            hello + hello,
            hello + frames.frame(0x77, b""),
            hello + frames.frame(frames.TRAFFIC, b"\0\0\xff"),
            hello + frames.frame(frames.APPEND, b"\0"),
            hello + b"\xff\xff\xff\xff\x02",
        ):
            talk(nonsense)

        async def scenario():
            channel = await connect(config)
            assert await channel.append([registered("una")]) == [2]
            channel.close()

        asyncio.run(scenario())
        assert finish(process)[0] == 0


def test_a_client_that_never_reads_is_no_harm(tmp_path):
    config = configuration(tmp_path)

    async def scenario():
        idle = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        idle.connect(config["socket"])
        idle.sendall(frames.json_frame(frames.HELLO, {"v": 1, "actor": "x", "follow": True}))
        channel = await connect(config)
        for _ in range(30):
            large = control.GatewayStarted(**basic(), version="x" * 60_000)
            await channel.append([encode(large)])
        idle.close()
        channel.close()

    with running(config) as (process, _):
        asyncio.run(scenario())
        assert finish(process) == (0, "")
    assert len(check_ledger(config)) == 32


def test_a_writer_ends_with_its_parent(tmp_path):
    """The writer asks the kernel to be killed when whoever started it ends."""
    import subprocess
    import sys
    import time

    config = configuration(tmp_path)
    program = (
        "import json, subprocess, sys, os\n"
        "p = subprocess.Popen([sys.executable, '-m', 'ringfort.record.writer'],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdin.write(sys.stdin.buffer.read()); p.stdin.close(); p.stdout.readline()\n"
        "print(p.pid, flush=True); os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=frames.orjson.dumps(config), stdout=subprocess.PIPE, timeout=20
    )
    pid = int(done.stdout)
    for _ in range(100):
        if not _lives(pid):
            break
        time.sleep(0.05)
    assert not _lives(pid)


def _lives(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"folder": 7},
        {"folder": "/x", "origin": "o", "key": "!"},
        {"folder": "/x", "origin": "o", "key": ""},
    ],
)
def test_a_wrong_configuration_is_told(config):
    process = start("writer", config)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in {1, 2}
    assert " critical ringfort process-failed " in errors.decode()


def test_standard_input_must_hold_the_configuration(tmp_path):
    process = start("http", ["nonsense"])
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "no JSON object" in errors.decode()
    config = configuration(tmp_path)
    with running(config):
        pass
    process = start("http", {"folder": config["folder"], "host": "127.0.0.1", "port": 0})
    assert ready(process)["url"].startswith("http://127.0.0.1:")
    assert finish(process) == (0, "")
    process.stdout.close()
