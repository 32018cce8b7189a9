"""Purposes at the gate: those that the policy lists, in one spelling; what a policy takes away is retired."""

import asyncio
import contextlib
from dataclasses import replace

import psycopg
import pytest
from tests.unit.gateway.test_provisioner_process import TIME, deployment, opening, provisioner

from ringfort.gateway.ipc import IpcClient, RemoteError
from ringfort.ledger.entry import encode
from ringfort.ledger.entry_control import PolicyActivated
from ringfort.policy.bundle import EVALUATOR, PolicyBundle, default_bundle

__all__ = ["deployment"]


def without(purpose):
    """The shipped bundle without a purpose."""
    files = []
    for each in default_bundle().files:
        lines = each.text.splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(f"{purpose} =")]
        files.append(replace(each, text="".join(kept)) if each.name == "policy.toml" else each)
    return PolicyBundle(tuple(files))


async def activate(deployment, bundle):
    async with deployment.ledger() as (channel, _):
        entry = PolicyActivated(time=TIME, actor="t", bundle=bundle.digest, evaluator=EVALUATOR)
        await channel.append([encode(entry)], blobs=[bundle.to_bytes()])


async def count(deployment, query):
    async with await psycopg.AsyncConnection.connect(deployment.dsn, autocommit=True) as admin:
        return (await (await admin.execute(query)).fetchone())[0]


async def until_none(deployment, query):
    async with asyncio.timeout(60):
        while await count(deployment, query):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)


def test_only_listed_purposes_open_in_any_spelling_and_one_that_goes_is_retired(deployment):
    async def main():
        await deployment.activate()
        client = IpcClient(str(deployment.folder / "p.sock"), timeout=60)
        with contextlib.closing(client):
            one = await client.request("open", **opening(deployment))
            for spelling in ("Product Analytics", "PRODUCT_ANALYTICS", " product\u2013analytics"):
                other = await client.request("open", **opening(deployment, purpose=spelling))
                assert other["purpose"] == "product-analytics"
                assert other["profile"] == one["profile"]
            for purpose in ("product-analytic", "made-up", "product-\u0430nalytics", "x" * 4000, "*"):
                with pytest.raises(RemoteError) as refused:
                    await client.request("open", **opening(deployment, purpose=purpose))
                assert refused.value.sqlstate == "28000"
                assert "state `" in refused.value.hint
                assert purpose not in str(refused.value)
            with pytest.raises(RemoteError) as refused:
                await client.request("open", **opening(deployment, purpose="product-analytic"))
            assert "`product-analytics`" in refused.value.hint
            assert (await client.request("open", **opening(deployment, purpose="")))["purpose"] == ""

            maps = "SELECT count(*) FROM pg_class WHERE relname ~ '^map_[0-9a-f]{24}$' AND relkind = 'r'"
            roles = f"SELECT count(*) FROM ringfort.profile WHERE digest = '{one['profile']}'"
            before = await count(deployment, maps)
            assert before
            await activate(deployment, without("product-analytics"))
            await until_none(deployment, roles)
            assert await count(deployment, maps) < before
            with pytest.raises(RemoteError):
                await client.request("open", **opening(deployment))
            await activate(deployment, default_bundle())
            again = await client.request("open", **opening(deployment))
            assert again["decision"]["key_id"] == one["decision"]["key_id"]

    with provisioner(deployment):
        asyncio.run(main())
