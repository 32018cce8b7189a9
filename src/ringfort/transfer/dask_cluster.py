"""The workers of a Dask scheduler that runs (`dask scheduler`, `dask worker`), on any machines, for a run.

Invariants: no wait is without an end. A scheduler that cannot be reached, is lost or does not answer, and a
cluster none of whose workers gives a sign of life, end the run within `silence_seconds`, with a named error
after which it can be gone on with; so does a part that ended its worker again and again. Errors come back as
results, so that Dask, whose log shows words and arguments, sees none. Nothing is kept as data of the cluster:
when the client goes, so do calls and the secret in them. A worker that is silent beside others ends the run
if no part is done meanwhile: its work may be waited for.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.transfer.calls import AGAIN, Done, Failed, named

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")
CONNECT_SECONDS = 10.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LOOK_SECONDS = 2.0
_CLOSE_SECONDS = 3.0
_CALLS_A_THREAD = 2
_LEAST_CALLS = 4


def do_call(function: Callable[[C, T], R], common: C, number: int, item: T) -> Done | Failed:
    """One call, on a worker; what it raises is told, not raised."""
    try:
        return Done(number, function(common, item))
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked tells it
        return Failed(named(error))


class DaskCluster:
    """The cluster at an address; connected at the first call, until it is closed."""

    notes: tuple[str, ...] = ()

    def __init__(self, address: str, *, silence_seconds: float = 60.0) -> None:
        try:
            parsed = urlsplit(address)
            valid = parsed.scheme in {"tcp", "tls"} and parsed.hostname and parsed.port
        except ValueError:
            valid = None
        if not valid:
            raise UsageError(
                "the scheduler's address is not valid", hint="for example tls://scheduler.example:8786"
            )
        if parsed.scheme == "tcp" and parsed.hostname not in _LOOPBACK:
            raise UsageError(
                "the scheduler is on another machine and not reached over TLS",
                hint="start it with certificates and give its tls:// address; see transfers.md of the manual",
            )
        self._address = address
        self._silence = silence_seconds
        self._client: Any = None

    def run(
        self,
        function: Callable[[C, T], R],
        common: C,
        items: Sequence[T],
        *,
        rows: int,  # noqa: ARG002
    ) -> Generator[R, None, None]:
        """The results in the order of the items."""
        if not items:
            return
        client = self._connected()
        complete = False
        futures: dict[int, Any] = {}
        done: queue.SimpleQueue[int] = queue.SimpleQueue()
        watch = _Watch(client, self._address, self._silence)
        try:
            results: dict[int, R] = {}
            given, taken = 0, 0
            while taken < len(items):
                while given < len(items) and len(futures) < watch.calls:
                    future = client.submit(
                        do_call, function, common, given, items[given], pure=False, retries=0
                    )
                    futures[given] = future
                    self._tell(future, given, done)
                    given += 1
                with contextlib.suppress(queue.Empty):
                    number = done.get(timeout=_LOOK_SECONDS)
                    if self._take(futures[number], results):
                        futures.pop(number).release()
                        watch.progress = time.monotonic()
                    else:
                        self._tell(futures[number], number, done)
                watch.look()
                while taken in results:
                    yield results.pop(taken)
                    taken += 1
            complete = True
        except (OSError, TimeoutError):
            raise watch.lost() from None
        finally:
            if not complete:
                self.close()

    def close(self) -> None:
        """Leave the cluster; it drops what was not done."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # the cluster may be gone, and the fault matters more
                client.close(timeout=_CLOSE_SECONDS)

    def _connected(self) -> Any:  # noqa: ANN401 - Dask has no types
        if self._client is not None:
            return self._client
        try:
            distributed: Any = import_module("distributed")
        except ImportError:
            raise MissingEnvironmentError(
                "Dask is not installed", hint="pip install 'ringfort[dask]', on every machine"
            ) from None
        _quiet()
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def connect() -> None:
            try:
                security = distributed.Security() if self._address.startswith("tls:") else None
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of versions: what does not fit says so by failing
                    client = distributed.Client(
                        self._address, timeout=CONNECT_SECONDS, set_as_default=False, security=security
                    )
            except Exception:  # noqa: BLE001 - sockets, TLS, certificates, protocols: told by the address
                made.put(None)
            else:
                made.put(client)

        # in a thread: who listens and says nothing is waited for without an end
        threading.Thread(target=connect, daemon=True).start()
        with contextlib.suppress(queue.Empty):
            self._client = made.get(timeout=2 * CONNECT_SECONDS)
        if self._client is None:
            raise MissingEnvironmentError(
                f"the Dask scheduler at `{self._address}` does not answer",
                hint="is it running, at this address, and are its certificates and ours of one authority"
                f" (`distributed.comm.tls` of Dask's configuration)? then {AGAIN}",
            )
        return self._client

    @staticmethod
    def _tell(future: Any, number: int, done: queue.SimpleQueue[int]) -> None:  # noqa: ANN401
        future.add_done_callback(lambda _future: done.put(number))

    def _take(self, future: Any, results: dict[int, Any]) -> bool:  # noqa: ANN401
        """Keep what a call gave; False if its worker went before it could be fetched, and it is done anew."""
        try:
            message = future.result(timeout=self._silence)
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001 - Dask's own, told by their kind
            kind = type(error).__name__
            if kind == "KilledWorker":
                raise MissingEnvironmentError(
                    "a part ended the Dask worker that did it, again and again",
                    hint=f"have the workers enough memory? give them more, then {AGAIN}",
                ) from None
            if "Cancelled" in kind or isinstance(error, OSError):
                raise OSError from None
            raise MissingEnvironmentError(
                f"the Dask cluster could not do a part: {kind}",
                hint="are the same versions of ringfort and its libraries on every machine, and does the"
                f" folder of the run have the same path there? then {AGAIN}",
            ) from None
        if isinstance(message, Failed):
            raise message.error
        results[message.number] = message.result
        return True


class _Watch:
    """Whether a cluster lives: its scheduler answers, and a worker gave a sign of life not long ago."""

    def __init__(self, client: Any, address: str, silence: float) -> None:  # noqa: ANN401
        self._client = client
        self._address = address
        self._silence = silence
        self._looked = 0.0
        self._alive = time.monotonic()
        self._signs: dict[str, tuple[float, float]] = {}  # by worker: its last sign, and when it was new here
        self.progress = time.monotonic()
        self._workers = False
        self.calls = _LEAST_CALLS

    def look(self) -> None:
        """Raise `MissingEnvironmentError` if nobody does the work any more."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        if self._client.status != "running":
            raise self.lost()
        identity = self._client.sync(self._client.scheduler.identity, callback_timeout=self._silence)
        now = self._looked = time.monotonic()
        workers = identity["workers"]
        signs = {name: (each["last_seen"], now) for name, each in workers.items()}
        for name, (sign, _) in signs.items():
            if name in self._signs and self._signs[name][0] == sign:
                signs[name] = self._signs[name]
        self._signs = signs
        self._workers = self._workers or bool(signs)
        self._alive = max([self._alive, *(heard for _, heard in signs.values())])
        self.calls = max(_CALLS_A_THREAD * sum(each["nthreads"] for each in workers.values()), _LEAST_CALLS)
        if now - self._alive > self._silence:
            what = "has lost its workers" if self._workers else "has no workers"
            raise MissingEnvironmentError(
                f"the Dask scheduler at `{self._address}` {what}: none gave a sign of life for"
                f" {self._silence:.0f} seconds",
                hint=f"start workers (`dask worker {self._address}`), then {AGAIN}",
            )
        silent = [name for name, (_, heard) in signs.items() if now - heard > self._silence]
        if silent and now - self.progress > self._silence:
            raise MissingEnvironmentError(
                f"the Dask worker `{silent[0]}` gave no sign of life for {self._silence:.0f} seconds, and no"
                " part was done meanwhile",
                hint=f"end that worker, then {AGAIN}",
            )

    def lost(self) -> MissingEnvironmentError:
        """The scheduler is gone."""
        return MissingEnvironmentError(
            f"the Dask scheduler at `{self._address}` was lost", hint=f"start it again, then {AGAIN}"
        )


def _quiet() -> None:
    """Dask's own lines go where every library's do: its handlers print words and arguments."""
    for name in ("distributed", "distributed.client", "distributed.core", "tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)  # we say what matters of it, by name


__all__ = ["CONNECT_SECONDS", "DaskCluster", "do_call"]
