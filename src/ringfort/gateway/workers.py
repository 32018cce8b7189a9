"""Where the workers of a gateway are reached by their own kind and by commands: one private socket each.

The sockets lie in the deployment's runtime folder (0700), are 0600, and both ends check that the other runs
as the same user (`ipc`). Operations:

    cancel     {process, secret (base64)}   -> {}; says nothing about what became of it
    sessions   {}                           -> {worker, process, draining, sessions: [...]}
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any

from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.ipc import IpcClient, IpcError, IpcTimeoutError

LIST_SECONDS = 5.0
_NAME = re.compile(r"worker-[0-9]{1,3}\.sock")


def worker_socket(folder: str, slot: int) -> str:
    """The private socket of the worker in `slot`."""
    return os.path.join(folder, f"worker-{slot}.sock")  # noqa: PTH118 - a socket's name


def worker_sockets(folder: str) -> list[str]:
    """The private sockets that are there, some perhaps of workers that are gone."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except PermissionError:
        raise MissingEnvironmentError(
            f"`{folder}` cannot be read by this account", hint="run as the account that `ringfort up` runs as"
        ) from None
    except OSError:
        return []
    return [os.path.join(folder, each) for each in sorted(names) if _NAME.fullmatch(each)]  # noqa: PTH118


async def ask_workers(folder: str, op: str, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON values
    """The answer of each worker; `{"silent": True}` of one that is there and does not answer in time."""

    async def ask(path: str) -> dict[str, Any] | None:
        client = IpcClient(path, timeout=LIST_SECONDS)
        try:
            return await client.request(op, **fields)
        except IpcTimeoutError:
            return {"silent": True}
        except IpcError:
            return None  # it has just gone
        finally:
            client.close()

    answers = await asyncio.gather(*map(ask, worker_sockets(folder)))
    return [each for each in answers if each is not None]


__all__ = ["ask_workers", "worker_socket", "worker_sockets"]
