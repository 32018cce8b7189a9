"""What a session is decided on is what its entry names, however often that changes while it opens.

A real provisioner, ledger writer and database. Zones, registrations and policies flip while sessions open;
then the control log is read back, and every decision must agree with the state that it names.
"""

import asyncio
import base64
import contextlib
import json

import psycopg
import pytest
from tests.unit.gateway.test_provisioner_process import (
    TIME,
    deployment,
    opening,
    provisioner,
    session_entry,
)

from ringfort.catalog.zones import Zone, Zones
from ringfort.gateway.ipc import IpcClient, RemoteError
from ringfort.ledger.entry import decode, encode
from ringfort.ledger.entry_control import PrincipalRegistered, SessionOpened, ZonesActivated
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition, ControlState
from ringfort.record.inspect import all_entries
from ringfort.record.store import BlobStore

__all__ = ["deployment"]
ADDRESS = "192.0.2.7"


def table(country):
    return Zones((Zone("192.0.2.0/24", country), Zone("0.0.0.0/0", "ZZ")))


def registered(country):
    return PrincipalRegistered(
        time=TIME, actor="t", name="ann", country=country, employer="ACME Inc", role="analyst"
    )


def at(folder, size):
    """The control state of that size, read back."""
    state = ControlState()
    for log, index, data, _ in all_entries(folder / "ledger"):
        if log == "control" and index < size:
            state.apply(data)
    return state


def truth(folder, state):
    """The viewer that a state proves for ADDRESS."""
    zones = Zones.from_json(BlobStore(folder / "ledger" / "blobs").get(state.zones))
    return [
        {"source": "registration", "country": state.principals["ann"].country},
        {"source": "network zone", "country": zones.country_of(ADDRESS)},
    ]


async def waits(deployment):
    """Whether somebody waits for a lock in the database."""
    async with await psycopg.AsyncConnection.connect(deployment.dsn) as admin:
        found = await admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return await found.fetchone() is not None


def test_every_decision_agrees_with_the_state_that_it_names(deployment):
    countries = ["IE", "US", "DE", "IN"]
    answers, opened, refused = [], [], []

    async def flip(channel):
        for number in range(60):
            country = countries[number % len(countries)]
            zones = table(country)
            change = ZonesActivated(time=TIME, actor="t", zones=zones.digest())
            other = registered(countries[(number // 3) % len(countries)])
            await channel.append([encode(change)], blobs=[zones.to_json()])
            await channel.append([encode(other)])
            await asyncio.sleep(0)
        return True

    async def open_and_record(client, channel, number):
        # zones and registrations give ever other profiles, which take a while in which the ground changes
        purpose = ("product-analytics", "complaint")[number % 2]
        fields = opening(deployment, purpose=purpose, address=ADDRESS)
        try:
            answer = await client.request("open", **fields)
        except RemoteError as error:
            refused.append(error.sqlstate)
            return
        answers.append(answer)
        decision = answer["decision"]
        condition = Condition(tuple(answer["condition_keys"]), decision["control_size"])
        entry = session_entry(deployment, answer)
        blobs = [base64.b64decode(decision[each]) for each in ("input", "map")]
        with contextlib.suppress(ConditionFailedError):
            await channel.append([encode(entry)], condition=condition, blobs=blobs)
            opened.append(entry)

    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        async with deployment.ledger() as (channel, _):
            flipping = asyncio.create_task(flip(channel))
            number = 0
            while not flipping.done():
                await asyncio.gather(*(open_and_record(client, channel, number + each) for each in range(4)))
                number += 4
            # on firm ground a session opens
            await open_and_record(client, channel, number)
        client.close()

    with provisioner(deployment):
        asyncio.run(main())
    assert opened
    assert set(refused) <= {"57P03"}
    for answer in answers:
        decision = answer["decision"]
        state = at(deployment.folder, decision["control_size"])
        assert decision["zones"] == state.zones
        assert decision["viewer"] == truth(deployment.folder, state)
        request = json.loads(base64.b64decode(decision["input"]))["request"]
        assert request["viewer"] == decision["viewer"]
        assert request["principal"]["country"] == state.principals["ann"].country
    state = ControlState()
    checked = 0
    for log, _, data, _ in all_entries(deployment.folder / "ledger"):
        if log != "control":
            continue
        entry = decode(data)
        if isinstance(entry, SessionOpened):
            checked += 1
            shown = [{"source": each.source, "country": each.country} for each in entry.viewer]
            assert shown == truth(deployment.folder, state)
        state.apply(entry)
    assert checked == len(opened)


def test_the_ground_of_a_decision_is_taken_once_whatever_comes_while_a_profile_is_made(deployment):
    """A lock in the database holds the making up until zones and registration are others."""

    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        async with deployment.ledger() as (channel, _):
            zones = table("IE")
            activated = ZonesActivated(time=TIME, actor="t", zones=zones.digest())
            await channel.append([encode(activated), encode(registered("IE"))], blobs=[zones.to_json()])
            async with await psycopg.AsyncConnection.connect(deployment.dsn) as holder:
                await holder.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
                fields = opening(deployment, purpose="incident", address=ADDRESS)
                asking = asyncio.create_task(client.request("open", **fields))
                while not asking.done() and not await waits(deployment):  # noqa: ASYNC110 - the server's lock table tells nobody
                    await asyncio.sleep(0.02)
                zones = table("US")
                activated = ZonesActivated(time=TIME, actor="t", zones=zones.digest())
                await channel.append([encode(activated)], blobs=[zones.to_json()])
            answer = await asking
        client.close()
        return answer["decision"]

    with provisioner(deployment):
        decision = asyncio.run(main())
    assert decision["viewer"] == truth(deployment.folder, at(deployment.folder, decision["control_size"]))


@pytest.mark.parametrize("proof", ["registration", "network zone", "anything"])
def test_a_worker_states_only_what_it_alone_has_seen(deployment, proof):
    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        stated = [{"source": proof, "country": "IE"}]
        with pytest.raises(RemoteError) as error:
            await client.request("open", **opening(deployment, proofs=stated))
        client.close()
        return error.value.sqlstate

    with provisioner(deployment):
        assert asyncio.run(main()) == "22023"
