"""Acts that undo pseudonyms: leading them back to values, and from one epoch to another.

Operations of the provisioner (`ipc`), which does everything itself, the proof of who asks included:

    resolve  {principal, password, grant, recipient, purpose, epoch, column, method, pseudonyms: [text]}
             -> {act, epoch, answers: [[pseudonym, value or null]]}
    bridge   the same and {to_epoch}
             -> {act, epoch, to_epoch, answers: [[pseudonym, pseudonym or null]]}

`recipient` and `purpose` name the domain, `epoch` 0 the one in force; `column` is dataset.table.column;
`method` is `cmac` for what the database shows, or `ff1` or `siv` for written forms of transfers.
An act needs a grant of its own kind (`resolve`, `bridge`), which others approved, in force, for a table that
the column is in; the policy in force must permit the act itself; and the limit of `[resolve]` in grants.toml
for one principal in one domain must not be reached, counted from the record. Order: computed, recorded (the
control entry, on condition that nothing it stands on changed; then the evidence), answered. A crash between
costs the count and shows nothing. Invariants: no value and no pseudonym is in an entry of the control log, a
log file or an error; a bridge shows no value; what another epoch's or domain's pseudonyms are given, and
what nobody's are, gives null and cannot be told apart.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import psycopg

from ringfort.disclosure.profile import map_plan
from ringfort.errors import CheckFailedError, UsageError
from ringfort.gateway.clock_watch import require_clock
from ringfort.gateway.granting import NotPermittedError, own_act, proven
from ringfort.gateway.lead_back import Place, WrittenMaker, codec_of, lead_back, lead_back_written
from ringfort.gateway.provisioner_site import administration_error
from ringfort.ledger.domains import asked_key, asked_since, domain_key
from ringfort.ledger.entry import format_time
from ringfort.ledger.entry_control_domains import PseudonymsBridged, PseudonymsResolved
from ringfort.ledger.entry_traffic import PseudonymsDisclosed
from ringfort.ledger.folds import Condition
from ringfort.ledger.grants import ACTIVE
from ringfort.policy.grants import covered, decide_grant, grant_input
from ringfort.policy.people import people_keys
from ringfort.policy.vocabulary import entity_name
from ringfort.privacy.methods import METHODS, check
from ringfort.privacy.pseudonym import Domain
from ringfort.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ringfort.catalog.model import Catalogue, Column, Dataset, Table
    from ringfort.gateway.provisioner_decision import ControlView, Decider
    from ringfort.gateway.provisioner_domains import Append, Domains, Thread
    from ringfort.gateway.provisioner_served import Served
    from ringfort.gateway.provisioner_settings import ProvisionerSettings
    from ringfort.ledger.entry import Entry
    from ringfort.ledger.grants import Grant
    from ringfort.privacy.epoch_keys import EpochSecret

    Connection = psycopg.Connection[tuple[Any, ...]]
    Keyed = tuple[Domain, EpochSecret]

MOST_AT_ONCE = 10_000
MOST_LENGTH = 4096
MOST_BYTES = 2 * 1024 * 1024
"""Of all values of one answer, as text."""
RESOLVE, BRIDGE = "resolve", "bridge"
THREADS = 2
LOCK_MS, STATEMENT_MS = 10_000, 300_000
_FIELDS = ("principal", "password", "grant", "recipient", "purpose", "column")


class TooOftenError(CheckFailedError):
    """The limit for one principal in one domain is reached."""

    default_sqlstate = "53400"  # configuration_limit_exceeded


@dataclass(frozen=True)
class Question:
    """One act that is asked for, read strictly."""

    act: str
    principal: str
    grant: str
    recipient: str
    purpose: str
    epoch: int
    to_epoch: int
    column: str
    method: str
    pseudonyms: tuple[str, ...]


class UndoingDesk:
    """The acts, for one provisioner; everything but the settings is its own."""

    def __init__(  # noqa: PLR0917 - what the provisioner lends
        self,
        settings: ProvisionerSettings,
        control: ControlView,
        decider: Decider,
        domains: Domains,
        append: Append,
        put_traffic: Callable[[Callable[[str], Entry], bytes], Awaitable[None]],
        thread: Thread,
    ) -> None:
        self._settings = settings
        self._control = control
        self._decider = decider
        self._domains = domains
        self._append = append
        self._put_traffic = put_traffic
        self._thread = thread
        self._clock = SystemClock()
        # not where sessions are decided: these wait for tables and for wrong passwords
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="undoing")

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def asked(
        self, act: str, fields: dict[str, Any], database: Callable[[str], Served]
    ) -> dict[str, Any]:
        """`resolve` or `bridge`."""
        question = read_question(act, fields)
        password = fields["password"]
        state = self._control.state
        since = state.size  # before who asks has proven it: the proof is of the registration of that moment
        secrets_folder = self._settings.verifiers.parent
        await self._thread(proven, secrets_folder, state, question.principal, password, pool=self._pool)
        require_clock(state, self._clock.now())
        ground = self._control.ground(question.principal)
        catalogue = self._decider.catalogue(ground.catalogue)
        dataset, table, column = _column(catalogue, question.column)
        check(question.method, column.kind)
        grant = self._grant(question, catalogue, dataset, table)
        given = await self._thread(self._permitted, question, grant, catalogue)
        self._within_limit(question)
        domain = self._epoch(question, question.epoch)
        target = self._epoch(question, question.to_epoch) if act == BRIDGE else None
        if target == domain:
            raise UsageError(
                "a bridge leads from one epoch to another", hint="name the older one with --epoch"
            )
        served = database(dataset.database)
        answers = await self._thread(
            self._answers, question, served, (dataset, table, column), domain, target, pool=self._pool
        )
        name = secrets.token_hex(12)
        entry = self._entry(name, question, domain, target, answers, hashlib.sha256(given).hexdigest())
        keys = (
            "policy",
            "catalogue",
            *people_keys(state, (question.principal, *grant.approvers)),
            f"grant:{grant.id}",
            domain_key(question.recipient, question.purpose),
            asked_key(question.principal, question.recipient, question.purpose),
        )
        if not await self._append([entry], Condition(keys, since), (given,)):
            raise NotPermittedError("what the act stands on has changed meanwhile", hint="try again")
        control = self._control.state.size
        await self._put_traffic(
            lambda digest: PseudonymsDisclosed(
                time=self._now(), actor=self._settings.actor, act=name, control=control, evidence=digest
            ),
            orjson.dumps(
                {"act": name, "kind": act, "method": question.method, "answers": answers},
                option=orjson.OPT_SORT_KEYS,
            ),
        )
        said = {"act": name, "epoch": domain.epoch, "answers": answers}
        return said if target is None else {**said, "to_epoch": target.epoch}

    # -- may it be done ------------------------------------------------------------------------------

    def _grant(self, question: Question, catalogue: Catalogue, dataset: Dataset, table: Table) -> Grant:
        grant = self._control.state.grants.get(question.grant)
        if grant is None or (grant.principal, grant.kind) != (question.principal, question.act):
            raise NotPermittedError(
                f"`{question.principal}` has no such grant to {question.act} pseudonyms",
                hint=f"ask for one with `ringfort request --{question.act}`",
            )
        status = grant.status(self._clock.now())
        if status != ACTIVE:
            raise NotPermittedError(
                f"`{grant.id}` is {status}, not in force", hint="`ringfort grants` lists what is in force"
            )
        if (dataset.name, table) not in covered(catalogue, grant.tables):
            raise NotPermittedError(
                f"`{grant.id}` does not cover the table of that column", hint="ask for a grant that does"
            )
        return grant

    def _permitted(self, question: Question, grant: Grant, catalogue: Catalogue) -> bytes:
        """The decision's input, if policy permits the act."""
        state = self._control.state
        request = own_act(state, question.act, grant, self._now())
        bundle = self._decider.bundle(self._control.ground(question.principal))
        region = self._settings.region
        decision = decide_grant(bundle, catalogue, region, request)
        if not decision.permitted:
            raise NotPermittedError(
                f"policy does not permit `{question.principal}` to {question.act}: {decision.reason}",
                hint="policy/grants.cedar says who may",
            )
        return grant_input(bundle, catalogue, region, request)

    def _within_limit(self, question: Question) -> None:
        rules = self._decider.bundle(self._control.ground(question.principal)).grant_rules
        since = self._clock.now() - timedelta(seconds=rules.resolve_within)
        before = asked_since(
            self._control.state, question.principal, question.recipient, question.purpose, since
        )
        if before + len(question.pseudonyms) > rules.resolve_most:
            raise TooOftenError(
                f"`{question.principal}` may have {rules.resolve_most} pseudonyms of one domain resolved or "
                f"bridged in {rules.resolve_within} seconds, and had {before}",
                hint="wait, or change [resolve] in policy/grants.toml",
            )

    def _epoch(self, question: Question, number: int) -> Domain:
        """The epoch of this number, 0 for the one in force, if its secret is there."""
        if number == 0:
            return self._domains.store.current(question.recipient, question.purpose, self._control.state)
        domain = Domain(question.recipient, question.purpose, number)
        self._domains.store.require_usable(domain, self._control.state)
        return domain

    # -- doing it ------------------------------------------------------------------------------------

    def _answers(
        self,
        question: Question,
        served: Served,
        where: tuple[Dataset, Table, Column],
        domain: Domain,
        target: Domain | None,
    ) -> list[list[str | None]]:
        state, store = self._control.state, self._domains.store
        secret = store.secret(domain, state)
        key = state.domains[domain.id]
        dataset, table, column = where
        bound = served.site.found([dataset]).get((table.schema, table.name))
        base = None if bound is None else bound.column(column.name)
        if bound is None or base is None:
            raise CheckFailedError(
                f"the database has no column `{question.column}`", hint="review catalog.toml against it"
            )
        place = Place(bound, base, map_plan(column, dataset, table, base, key))
        epochs = [(domain, secret)] + ([] if target is None else [(target, store.secret(target, state))])
        try:
            with served.site.connect() as connection:
                connection.execute("SET application_name = 'ringfort pseudonym'")
                connection.execute(f"SET lock_timeout = {LOCK_MS}")
                connection.execute(f"SET statement_timeout = {STATEMENT_MS}")
                if question.method == "cmac":
                    mapped = served.filler.filled(place.plan.id)
                    given = _shown(connection, place, question, epochs, mapped=mapped)
                else:
                    given = _written(connection, place, question, column.kind, epochs)
        except psycopg.Error as error:
            raise administration_error(served.site.database, error) from None
        if sum(len(each.encode()) for each in given.values()) > MOST_BYTES:
            raise UsageError("the values are too long for one answer", hint="ask for fewer at once")
        return [[each, given.get(each)] for each in question.pseudonyms]

    def _entry(  # noqa: PLR0917 - the parts of one entry
        self,
        name: str,
        question: Question,
        domain: Domain,
        target: Domain | None,
        answers: list[list[str | None]],
        given: str,
    ) -> Entry:
        facts: dict[str, Any] = {
            "time": self._now(),
            "actor": self._settings.actor,
            "act": name,
            "principal": question.principal,
            "recipient": domain.recipient,
            "purpose": domain.purpose,
            "epoch": domain.epoch,
            "domain": domain.id,
            "column": question.column,
            "grant": question.grant,
            "asked": len(answers),
            "found": sum(each[1] is not None for each in answers),
            "input": given,
        }
        if target is None:
            return PseudonymsResolved(**facts)
        return PseudonymsBridged(**facts, to_epoch=target.epoch, to_domain=target.id)

    def _now(self) -> str:
        return format_time(self._clock.now())


def _shown(
    connection: Connection, place: Place, question: Question, epochs: list[Keyed], *, mapped: bool
) -> dict[str, str]:
    """What stands behind pseudonyms as the database shows them; with a second epoch, those of that."""
    domain, secret = epochs[0]
    wanted = [uuid.UUID(each) for each in question.pseudonyms]
    found = lead_back(connection, place, secret, domain, wanted, mapped=mapped)
    if len(epochs) == 1:
        return {str(each): behind.text for each, behind in found.items()}
    target, other = epochs[1]
    made = codec_of(place, other, target).pseudonyms([behind.key for behind in found.values()])
    return {str(each): str(uuid.UUID(bytes=new)) for each, new in zip(found, made, strict=True)}


def _written(
    connection: Connection, place: Place, question: Question, kind: str, epochs: list[Keyed]
) -> dict[str, str]:
    """The same for the written forms of transfers."""
    makers = [
        WrittenMaker(question.method, kind, place.plan.identity_space, secret, domain)
        for domain, secret in epochs
    ]
    found = lead_back_written(connection, place, makers[0], question.pseudonyms)
    if len(makers) == 1:
        return found
    return dict(zip(found, makers[1].make(list(found.values())), strict=True))


def read_question(act: str, fields: dict[str, Any]) -> Question:
    """The fields of an operation, strictly; raises `UsageError` without saying what was given."""
    for name in _FIELDS:
        if not isinstance(fields.get(name), str):
            raise UsageError(f"`{name}` must be a text")
    numbers = [fields.get("epoch", 0), fields.get("to_epoch", 0)]
    if not all(type(each) is int and each >= 0 for each in numbers):
        raise UsageError("an epoch is a whole number")
    given = fields.get("pseudonyms")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_AT_ONCE:
        raise UsageError(f"1 to {MOST_AT_ONCE} pseudonyms can be given at once")
    method = fields.get("method", "cmac")
    if method not in METHODS:
        raise UsageError("there is no such method", hint="one of " + ", ".join(METHODS))
    pseudonyms = dict.fromkeys(
        parse_pseudonym(each, line, method) for line, each in enumerate(given, start=1)
    )
    facts = {name: fields[name] for name in _FIELDS if name != "password"}
    return Question(
        act=act,
        epoch=numbers[0],
        to_epoch=numbers[1],
        method=method,
        pseudonyms=tuple(pseudonyms),
        **facts,
    )


def parse_pseudonym(text: object, line: int, method: str = "cmac") -> str:
    """A pseudonym as it is shown or written; raises `UsageError` that names the line, not the text."""
    if method != "cmac":
        if isinstance(text, str) and 1 <= len(text) <= MOST_LENGTH and text.isprintable():
            return text
        raise UsageError(f"line {line} is no pseudonym", hint=f"one has 1 to {MOST_LENGTH} characters")
    try:
        if isinstance(text, str) and len(text) == 36:
            return str(uuid.UUID(text))
    except ValueError:
        pass
    raise UsageError(
        f"line {line} is no pseudonym", hint="they look like 2b7e1516-28ae-d2a6-abf7-158809cf4f3c"
    )


def _column(catalogue: Catalogue, name: str) -> tuple[Dataset, Table, Column]:
    for dataset in catalogue.datasets:
        for table in dataset.tables:
            for column in table.columns:
                if entity_name(dataset.name, table.name, column.name) == name:
                    return dataset, table, column
    raise UsageError(f"the catalogue has no column `{name}`", hint="write dataset.table.column")


__all__ = ["BRIDGE", "MOST_AT_ONCE", "RESOLVE", "UndoingDesk", "parse_pseudonym", "read_question"]
