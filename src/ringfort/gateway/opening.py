"""From an authenticated principal to an open session: decision, record, site connection, relay.

The worker says what it alone has seen of the viewer (the address, a certificate's or token's country); all
other facts of the decision, the viewer's zone and registration included, the provisioner takes from one state
of the control log, and the entry names that state.

Order matters. The provisioner decides and prepares the profile; the site is connected as the profile's role;
`SessionOpened` is appended on the condition that nothing that the decision stood on has changed since; only
then does the client hear that it is in. A refused append means that the decision is stale: it is made once
more. Every refusal after authentication is recorded as `SessionRefused` before the client hears of it.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ringfort.disclosure.statement_settings import CEILINGS, setting_refused
from ringfort.disclosure.statements import Surface
from ringfort.errors import RingfortError
from ringfort.gateway.control import ground
from ringfort.gateway.site_connection import read_target
from ringfort.gateway.waiting_views import waiting_views
from ringfort.ledger.entry import Viewer, encode
from ringfort.ledger.entry_control import SessionOpened
from ringfort.ledger.errors import ConditionFailedError
from ringfort.ledger.folds import Condition
from ringfort.ledger.grants import moment
from ringfort.logs import slowly
from ringfort.pgwire import backend
from ringfort.record.stamps import STAMPS

if TYPE_CHECKING:
    from ringfort.gateway.authentication import Authenticated, Provisioner
    from ringfort.gateway.pool import SitePool
    from ringfort.gateway.recording import Ledger
    from ringfort.gateway.settings import WorkerSettings
    from ringfort.gateway.site_connection import SiteSession
    from ringfort.gateway.waiting_views import WaitingViews
    from ringfort.pgwire.parameters import SessionRequest

OPEN_SECONDS = 60.0  # a new profile over many tables takes a while to make
ATTEMPTS = 2


class SessionRefusedError(RingfortError):
    """An authenticated principal gets no session."""

    default_sqlstate = "28000"  # invalid_authorization_specification


@dataclass(frozen=True)
class Opened:
    """A session on record and connected; `ground`: the state keys that it stands on, as of `since`.

    `until`: when the first of the grants that it stands on ends, in seconds since 1970; None if on none.
    `proven_until`: when the certificate or token that opened it ends.
    `waiting`: its views that cannot be read yet.
    """

    session: str
    principal: str
    surface: Surface
    site: SiteSession
    ground: frozenset[str]
    since: int
    until: float | None = None
    proven_until: float | None = None
    waiting: WaitingViews | None = None

    @property
    def key(self) -> str:
        """The state key of the session itself: it changes when the session is killed."""
        return f"session:{self.session}"


class Opener:
    """Opens sessions."""

    def __init__(
        self,
        settings: WorkerSettings,
        provisioner: Provisioner,
        ledger: Ledger,
        connector: SitePool,
    ) -> None:
        self._settings = settings
        self._provisioner = provisioner
        self._ledger = ledger
        self._connector = connector

    async def open(self, request: SessionRequest, address: str, client: Authenticated) -> Opened:
        """Decide, connect, record; raises a `RingfortError` that tells the client what to do.

        The credentials that `client` used must be on record still when the decision is made.
        """
        for attempt in range(ATTEMPTS):
            try:
                return await self._open(request, address, client)
            except ConditionFailedError:
                if attempt + 1 == ATTEMPTS:
                    raise SessionRefusedError(
                        "what the session stands on kept changing while it was opened",
                        hint="connect again in a moment",
                        sqlstate="57P03",
                    ) from None
        raise AssertionError

    async def _open(self, request: SessionRequest, address: str, client: Authenticated) -> Opened:
        for name, value in request.settings.items():
            refused = setting_refused(name, value) if name.lower() in CEILINGS else None
            if refused is not None:
                raise SessionRefusedError(f"`{name}`: {refused[0]}", hint=refused[1], sqlstate="42501")
        opened = await self._provisioner.request(
            "open",
            timeout=OPEN_SECONDS,
            principal=request.user,
            purpose=request.purpose,
            ticket=request.ticket,
            address=address,
            proofs=[{"source": each.source, "country": each.country} for each in client.viewer],
            credentials=client.credentials,
            database=request.database,
            application_name=request.application_name,
            session=request.session,
        )
        decision: dict[str, Any] = opened["decision"]
        since = int(decision["control_size"])
        keys = ground(request.user, (str(key) for key in opened["condition_keys"]))
        stands_on = ground(request.user, (str(key) for key in opened["ground_keys"]))
        site = await self._connector.connect(read_target(opened), request.settings, request.user)
        try:
            session = os.urandom(12).hex()
            blobs = [b64decode(decision[name]) for name in ("input", "map")]
            entry = self._entry(session, request, opened, blobs)
            appending = self._ledger.append(
                [encode(entry)], condition=Condition(tuple(sorted(keys)), since), blobs=blobs
            )
            await slowly(appending, "the record of a session's opening", session=session)
        except BaseException:
            site.conversation.abort()
            raise
        proven = None if self._settings.sessions_outlive_credentials else client.until
        waiting = waiting_views(self._provisioner, request.database, opened)
        return Opened(
            session, request.user, _surface(opened), site, stands_on, since, _until(opened), proven, waiting
        )

    def _entry(
        self,
        session: str,
        request: SessionRequest,
        opened: dict[str, Any],
        blobs: list[bytes],
    ) -> SessionOpened:
        decision = opened["decision"]
        digests = [hashlib.sha256(blob).hexdigest() for blob in blobs]
        storage = str(decision["storage_country"])
        return SessionOpened(
            time=STAMPS.now(),
            actor=self._settings.actor,
            session=session,
            principal=request.user,
            purpose=str(opened.get("purpose", request.purpose)),
            ticket=request.ticket,
            site=str(decision["site"]),
            database=request.database,
            viewer=tuple(Viewer(str(each["source"]), str(each["country"])) for each in decision["viewer"]),
            storage_country=storage,
            processing_country=str(
                decision.get("processing_country") or self._settings.processing_country or storage
            ),
            viewing_country=str(decision["viewing_country"]),
            input=digests[0],
            map=digests[1],
            profile=str(opened["profile"]),
            policy=str(decision["policy"]),
            catalogue=str(decision["catalogue"]),
            zones=str(decision["zones"]),
            evaluator=str(decision["evaluator"]),
        )


def _until(opened: dict[str, Any]) -> float | None:
    """When the first of the grants that the decision stands on ends."""
    return min((moment(str(each["until"])).timestamp() for each in opened.get("grants", ())), default=None)


def _surface(opened: dict[str, Any]) -> Surface:
    """What the session can name."""
    if "surface" in opened:
        return Surface.from_json(opened["surface"])
    return Surface(
        frozenset(map(str, opened["relations"])),
        str(opened.get("search_path", "")),
        frozenset(map(str, opened.get("columns", ()))),
    )


_TOLD = (
    b"server_version",
    b"server_encoding",
    b"client_encoding",
    b"application_name",
    b"is_superuser",
    b"DateStyle",
    b"IntervalStyle",
    b"TimeZone",
    b"integer_datetimes",
    b"standard_conforming_strings",
)


def welcome(opened: Opened, process: int, secret: bytes) -> bytes:
    """What the client is sent when its session is open: from AuthenticationOk to ReadyForQuery."""
    parameters = opened.site.parameters
    told = [backend.ParameterStatus(name, parameters[name]) for name in _TOLD if name in parameters]
    parts: list[backend.BackendMessage] = [
        backend.Authentication(backend.AUTH_OK),
        *told,
        # psql shows it in its prompt; the profile's role is nobody's business
        backend.ParameterStatus(b"session_authorization", opened.principal.encode()),
        backend.BackendKeyData(process, secret),
        backend.ReadyForQuery(b"I"),
    ]
    return b"".join(map(backend.serialise_backend, parts))


__all__ = ["Opened", "Opener", "SessionRefusedError", "welcome"]
