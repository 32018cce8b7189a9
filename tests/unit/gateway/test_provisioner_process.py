"""The provisioner as a process, with a real ledger writer and a real database."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.shop_database import CATALOGUE, SECRET, SPACE, TABLES

from ringfort.catalog.model import Catalogue
from ringfort.catalog.zones import Zones
from ringfort.config import KeysConfig
from ringfort.gateway.ipc import IpcClient, RemoteError
from ringfort.gateway.verifiers import decode_verifier, make_verifier
from ringfort.ledger.entry import Viewer, encode
from ringfort.ledger.entry_control import (
    CatalogueActivated,
    GatewayStarted,
    PolicyActivated,
    PrincipalRegistered,
    PrincipalRemoved,
    SessionOpened,
    ZonesActivated,
)
from ringfort.ledger.entry_control_credentials import CredentialRegistered, CredentialRemoved
from ringfort.ledger.folds import Condition, ControlState
from ringfort.pgwire.scram import ScramClient, salted_password
from ringfort.policy.bundle import EVALUATOR, default_bundle
from ringfort.privacy.epoch_keys import derive_key, key_id
from ringfort.privacy.pseudonym import Domain, Pseudonymiser
from ringfort.record.channel import LedgerChannel
from ringfort.sites.custody import Custody, CustodySettings
from ringfort.sites.domains import DomainStore
from ringfort.system import SystemRandomness

TIME = "2026-11-21T10:00:00Z"


def start(module, config):
    child = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdin.write(json.dumps(config).encode())
    child.stdin.close()
    line = child.stdout.readline()
    if not line:
        child.wait(10)
        raise AssertionError(child.stderr.read().decode())
    return child, json.loads(line)


def stop(child):
    child.terminate()
    child.wait(20)
    errors = child.stderr.read().decode()
    child.stdout.close()
    child.stderr.close()
    return child.returncode, errors


class Deployment:
    """A folder, a writer, a database with the shop."""

    def __init__(self, folder, dsn):
        self.folder = folder
        self.dsn = dsn
        self.database = conninfo_to_dict(dsn)["dbname"]
        (folder / "secrets").mkdir(mode=0o700)
        self.custody = Custody(
            CustodySettings(folder / "secrets", KeysConfig(kek_file=str(folder / "kek.key")))
        )
        self.custody.make_current()
        self.custody.create("root.key", SECRET.value)
        (folder / "scram").mkdir(mode=0o700)
        path = folder / "scram" / "ann.json"
        path.touch(mode=0o600)
        path.write_bytes(make_verifier("ann's password", SystemRandomness()))
        (folder / "ledger").mkdir()
        self.writer, _ = start(
            "ringfort.record.writer",
            {
                "folder": str(folder / "ledger"),
                "socket": str(folder / "ledger.sock"),
                "origin": "test.example/log",
                "key": base64.b64encode(bytes(32)).decode(),
            },
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(TABLES)
        dataset = replace(CATALOGUE.datasets[0], database=self.database)
        self.catalogue = Catalogue((dataset,))

    def config(self, **changes):
        return {
            "actor": "provisioner",
            "socket": str(self.folder / "p.sock"),
            "ledger_socket": str(self.folder / "ledger.sock"),
            "blobs": str(self.folder / "ledger" / "blobs"),
            "region": ["IE", "DE"],
            "custody": {
                "secrets": str(self.folder / "secrets"),
                "keys": {"kek_file": str(self.folder / "kek.key")},
            },
            "verifiers": str(self.folder / "scram"),
            "mock_key": base64.b64encode(bytes(32)).decode(),
            "sites": [
                {
                    "name": "dublin-1",
                    "country": "IE",
                    "kind": "embedded",
                    "databases": {self.database: self.dsn},
                }
            ],
            "fill_seconds": 0.2,
            **changes,
        }

    @contextlib.asynccontextmanager
    async def ledger(self):
        state = ControlState()
        channel = await LedgerChannel.connect(
            str(self.folder / "ledger.sock"),
            actor="test",
            on_control=lambda _, data: state.apply(data),
            on_lost=lambda _: None,
        )
        try:
            yield channel, state
        finally:
            channel.close()

    async def activate(self, *entries):
        async with self.ledger() as (channel, _):
            bundle, zones = default_bundle(), Zones()
            await channel.append(
                [
                    encode(GatewayStarted(time=TIME, actor="t", version="1")),
                    encode(PolicyActivated(time=TIME, actor="t", bundle=bundle.digest, evaluator=EVALUATOR)),
                    encode(CatalogueActivated(time=TIME, actor="t", catalogue=self.catalogue.digest())),
                    encode(ZonesActivated(time=TIME, actor="t", zones=zones.digest())),
                    encode(
                        PrincipalRegistered(
                            time=TIME,
                            actor="t",
                            name="ann",
                            country="US",
                            employer="ACME Inc",
                            role="analyst",
                        )
                    ),
                    *entries,
                ],
                blobs=[bundle.to_bytes(), self.catalogue.to_json(), zones.to_json()],
            )


@pytest.fixture
def deployment(tmp_path, fresh_database):
    deployment = Deployment(tmp_path, fresh_database)
    yield deployment
    stop(deployment.writer)


@contextlib.contextmanager
def provisioner(deployment, **changes):
    child, ready = start("ringfort.gateway.provisioner", deployment.config(**changes))
    outcome = {"ready": ready, "child": child}
    try:
        yield outcome
    finally:
        outcome["code"], outcome["errors"] = stop(child)


def opening(deployment, **changes):
    return {
        "principal": "ann",
        "purpose": "product-analytics",
        "ticket": "T-1",
        "address": "192.0.2.7",
        "proofs": [],
        "database": deployment.database,
        "application_name": "psql",
        **changes,
    }


def session_entry(deployment, answer):
    decision = answer["decision"]
    return SessionOpened(
        time=TIME,
        actor="worker",
        session=uuid.uuid4().hex,
        principal="ann",
        purpose="product-analytics",
        ticket="T-1",
        site=decision["site"],
        database=deployment.database,
        viewer=tuple(Viewer(**each) for each in decision["viewer"]),
        storage_country=decision["storage_country"],
        processing_country="IE",
        viewing_country=decision["viewing_country"],
        input=decision["input_digest"],
        map=decision["map_digest"],
        profile=answer["profile"],
        policy=decision["policy"],
        catalogue=decision["catalogue"],
        zones=decision["zones"],
        evaluator=decision["evaluator"],
    )


def login(deployment, answer):
    return psycopg.connect(
        make_conninfo(
            deployment.dsn, user=answer["role"], password=answer["password"], dbname=answer["database"]
        ),
        autocommit=True,
    )


def test_from_an_opening_to_a_session_on_record(deployment):
    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        answer = await client.request("open", **opening(deployment))
        assert answer["relations"] == ["customers", "orders", "sheet"]
        assert answer["search_path"] == answer["role"]
        decision = answer["decision"]
        blobs = [base64.b64decode(decision[each]) for each in ("input", "map")]
        assert [hashlib.sha256(each).hexdigest() for each in blobs] == [
            decision["input_digest"],
            decision["map_digest"],
        ]
        async with deployment.ledger() as (channel, state):
            assert state.sites == {("dublin-1", deployment.database): "passed"}
            domain = Domain("ACME Inc", "product-analytics")
            secret = DomainStore(deployment.custody).secret(domain, state)
            assert state.domains == {domain.id: key_id(secret, domain)}
            condition = Condition(tuple(answer["condition_keys"]), decision["control_size"])
            await channel.append(
                [encode(session_entry(deployment, answer))], condition=condition, blobs=blobs
            )
        ready = await client.request(
            "readiness",
            database=deployment.database,
            profile=answer["profile"],
            views=["customers", "orders", "sheet", "other"],
        )
        assert ready["waiting"] == {}
        with login(deployment, answer) as session:
            kernel = Pseudonymiser(derive_key(secret, domain, SPACE, "number"), "number")
            seven = uuid.UUID(bytes=kernel.column(pa.array([7])).to_pylist()[0])
            assert session.execute("SELECT count(*) FROM customers WHERE id = %s", (seven,)).fetchone() == (
                1,
            )
            # a new row is there with its pseudonym within seconds
            with psycopg.connect(deployment.dsn, autocommit=True) as admin:
                admin.execute("INSERT INTO customers (id, name) VALUES (70000, 'New')")
            new = uuid.UUID(bytes=kernel.column(pa.array([70000])).to_pylist()[0])
            started = time.monotonic()
            while session.execute("SELECT FROM customers WHERE id = %s", (new,)).rowcount == 0:
                assert time.monotonic() - started < 120
                await asyncio.sleep(0.05)
        again = await client.request("open", **opening(deployment, ticket="T-2"))
        assert (again["role"], again["password"]) == (answer["role"], answer["password"])
        other = await client.request("open", **opening(deployment, purpose="complaint"))
        assert other["role"] != answer["role"]
        health = await client.request("health")
        assert [each["served"] for each in health["databases"]] == [True]
        client.close()

    with provisioner(deployment) as outcome:
        asyncio.run(main())
    assert outcome["ready"]["ready"] is True
    assert outcome["code"] == 0


async def salt_and_proof(client, name, password):
    """The salt that a client is told, and whether the password was right."""
    scram = ScramClient("n" * 24)
    message = base64.b64encode(scram.first()).decode()
    first = await client.request(
        "scram-first", name=name, address="", mechanism="SCRAM-SHA-256", message=message, end_point=""
    )
    salt, iterations = scram.challenge(base64.b64decode(first["message"]))
    final = scram.final(salted_password(password, salt, iterations))
    answer = await client.request(
        "scram-final", attempt=first["attempt"], message=base64.b64encode(final).decode()
    )
    return salt, "message" in answer


def test_passwords_of_names_known_and_not(deployment):
    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=30)
        salt, right = await salt_and_proof(client, "ann", "ann's password")
        assert right
        assert salt == decode_verifier((deployment.folder / "scram" / "ann.json").read_bytes()).salt
        assert await salt_and_proof(client, "ann", "another") == (salt, False)
        mock = await salt_and_proof(client, "nobody", "")
        assert mock == await salt_and_proof(client, "nobody", "x")
        async with deployment.ledger() as (channel, _):
            await channel.append([encode(PrincipalRemoved(time=TIME, actor="t", name="ann"))])
        for _ in range(500):
            if (await salt_and_proof(client, "ann", "ann's password"))[0] != salt:
                break
            await asyncio.sleep(0.02)
        assert not (await salt_and_proof(client, "ann", "ann's password"))[1]
        client.close()

    with provisioner(deployment):
        asyncio.run(main())


def test_what_is_refused(deployment):
    async def main():
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=30)

        async def refused(**changes):
            with pytest.raises(RemoteError) as error:
                await client.request("open", **opening(deployment, **changes))
            assert error.value.hint or error.value.sqlstate == "22023"
            return error.value.sqlstate

        assert await refused() == "28000"  # nothing is registered yet
        await deployment.activate()
        await client.request("open", **opening(deployment))
        assert await refused(principal="nobody") == "28000"
        assert await refused(database="elsewhere") == "3D000"
        for stated in (7, [7], [{"source": "registration", "country": "IE"}], [{"source": "token"}]):
            assert await refused(proofs=stated) == "22023"
        assert await refused(address=7) == "22023"
        with pytest.raises(RemoteError):
            await client.request("frobnicate")
        # the database is no longer as it was audited
        with psycopg.connect(deployment.dsn, autocommit=True) as admin:
            admin.execute("ALTER TABLE customers RENAME COLUMN id TO number")
        assert await refused() == "55000"
        with psycopg.connect(deployment.dsn, autocommit=True) as admin:
            admin.execute("ALTER TABLE customers RENAME COLUMN number TO id")
        await client.request("open", **opening(deployment))
        client.close()

    with provisioner(deployment):
        asyncio.run(main())


def test_a_surplus_on_a_database_that_is_not_ours_refuses_until_it_is_gone(deployment):
    with psycopg.connect(deployment.dsn, autocommit=True) as admin:
        admin.execute("GRANT SELECT ON customers TO PUBLIC")
    sites = [{**deployment.config()["sites"][0], "kind": "external"}]

    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=30)
        with pytest.raises(RemoteError) as error:
            await client.request("open", **opening(deployment))
        assert error.value.sqlstate == "57P03"
        audited = await client.request("audit", database=deployment.database)
        assert not audited["served"]
        assert any("customers" in each for each in audited["hardening"])
        with psycopg.connect(deployment.dsn, autocommit=True) as admin:
            for statement in audited["hardening"]:
                admin.execute(statement)
        assert (await client.request("audit", database=deployment.database))["served"]
        await client.request("open", **opening(deployment))
        async with deployment.ledger() as (_, state):
            assert state.sites == {("dublin-1", deployment.database): "passed"}
        client.close()

    with provisioner(deployment, sites=sites) as outcome:
        asyncio.run(main())
    assert "public.customers" in outcome["errors"]


def test_a_restart_goes_on_with_new_passwords_and_another_root_is_refused(deployment):
    async def open_once():
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        try:
            return await client.request("open", **opening(deployment))
        finally:
            client.close()

    asyncio.run(deployment.activate())
    with provisioner(deployment):
        first = asyncio.run(open_once())
    with provisioner(deployment) as outcome:
        second = asyncio.run(open_once())
        assert second["role"] == first["role"]
        assert second["password"] != first["password"]
        login(deployment, second).close()
    assert outcome["errors"].count(" database-served ") == 1
    deployment.custody.destroy("root.key")
    deployment.custody.create("root.key", os.urandom(32))
    with provisioner(deployment) as outcome, pytest.raises(RemoteError) as error:
        asyncio.run(open_once())
    (reference,) = re.findall(r"\(reference ([0-9a-f]{8})\)", error.value.message)
    (said,) = [line for line in outcome["errors"].splitlines() if reference in line]
    assert "root secret" in said  # the operator is told why, the client is not
    assert "root secret" not in error.value.message


def test_a_credential_that_is_gone_opens_nothing(deployment):
    """It was there when the client proved itself, and is not when the decision is made."""

    async def main():
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        given = opening(deployment)
        used = [["certificate", "cn:ann"]]
        for subject, good in (("cn:ann", True), ("cn:other", False), (None, False)):
            entry = (
                CredentialRemoved(time=TIME, actor="t", name=given["principal"], method="certificate")
                if subject is None
                else CredentialRegistered(
                    time=TIME, actor="t", name=given["principal"], method="certificate", subject=subject
                )
            )
            async with deployment.ledger() as (channel, _):
                await channel.append([encode(entry)])
            await asyncio.sleep(0.3)
            if good:
                await client.request("open", **given, credentials=used)
            else:
                with pytest.raises(RemoteError, match="not on record any more"):
                    await client.request("open", **given, credentials=used)
        await client.request("open", **given)
        client.close()

    asyncio.run(deployment.activate())
    with provisioner(deployment):
        asyncio.run(main())


def test_without_its_ledger_it_ends(deployment):
    with provisioner(deployment) as outcome:
        stop(deployment.writer)
        outcome["child"].wait(60)
    assert outcome["code"] == 1
    assert "ledger" in outcome["errors"]
    deployment.writer, _ = start(
        "ringfort.record.http", {"folder": str(deployment.folder / "ledger"), "host": "127.0.0.1", "port": 0}
    )


@pytest.mark.parametrize("change", [{"custody": {}}, {"mock_key": "AAAA"}, {"unknown": 1}, {"region": None}])
def test_a_configuration_that_is_wrong_is_refused(deployment, change):
    child = subprocess.run(
        [sys.executable, "-m", "ringfort.gateway.provisioner"],
        input=json.dumps(deployment.config(**change)).encode(),
        capture_output=True,
    )
    assert child.returncode == 2
    assert b" critical ringfort process-failed " in child.stderr
