"""`ringfort request`, `approve`, `deny`, `revoke`, `grants`, `break-glass`, `review`: grants, first to last.

Whoever acts proves it with the password that they connect with, so that one operator cannot approve in
another's name. The acts themselves are `gateway.granting`.
"""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ringfort.cli.grant_reach import with_reach
from ringfort.cli.password import ask_password
from ringfort.config import load_config
from ringfort.errors import UsageError
from ringfort.gateway.granting import Desk, proven
from ringfort.ledger.grants import IRREVERSIBLE
from ringfort.policy.grant_rules import duration_seconds
from ringfort.policy.grants import GrantFacts
from ringfort.privacy.stated_text import stated
from ringfort.record.client import open_ledger
from ringfort.record.dropping import month_begins
from ringfort.record.reading import read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringfort.ledger.grants import Grant

_FOLDER = typer.Argument(..., metavar="DIR", help="The deployment folder.")
_GRANT = typer.Argument(..., metavar="GRANT", help="The grant's id, as `ringfort grants` shows it.")
_AS = typer.Option(
    ..., "--as", metavar="NAME", help="Who acts: a registered principal, whose password is asked."
)
_PURPOSE = typer.Option(..., "--purpose", metavar="P", help="The purpose that sessions will state.")
_PURPOSE_OF_ACT = typer.Option(
    "", "--purpose", metavar="P", help="The purpose that sessions will state, or that of the domain."
)
_TICKET = typer.Option("", "--ticket", metavar="T", help="The ticket that sessions will state.")
_TABLES = typer.Option(
    ..., "--table", metavar="D.T", help="A table as dataset.table, or a whole dataset; repeatable."
)
_FOR = typer.Option(..., "--for", metavar="TIME", help="For how long: 30m, 2h.")
_OPERATE = typer.Option(
    False,
    "--operate",
    help="For operate sessions on the real tables instead of other forms of what the views show.",
)
_TRIGGERS = typer.Option(
    False,
    "--with-triggers",
    help="With --operate: also what a change of the tables sets off, which the grant then names.",
)
_REASON = typer.Option("", "--reason", metavar="TEXT", help="Why, in a line that names no person.")
_STDIN = typer.Option(False, "--password-stdin", help="Read the password from standard input, one line.")
_JSON = typer.Option(False, "--json", help="Print one JSON document.")


def request(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = _AS,
    purpose: str = _PURPOSE_OF_ACT,
    ticket: str = _TICKET,
    tables: list[str] = typer.Option(
        [], "--table", metavar="D.T", help="A table as dataset.table, or a whole dataset; repeatable."
    ),
    lasting: str = _FOR,
    operate: bool = _OPERATE,
    resolve: bool = typer.Option(
        False, "--resolve", help="For `ringfort pseudonym resolve`: pseudonyms back to values."
    ),
    bridge: bool = typer.Option(
        False, "--bridge", help="For `ringfort pseudonym bridge`: pseudonyms from one epoch to another."
    ),
    with_triggers: bool = _TRIGGERS,
    erase: bool = typer.Option(False, "--erase", help="For `ringfort domain erase`, of --recipient."),
    rotate: bool = typer.Option(False, "--rotate", help="For `ringfort domain rotate`, of --recipient."),
    rewrap: bool = typer.Option(False, "--rewrap", help="For `ringfort keys rewrap`."),
    canary: bool = typer.Option(False, "--canary", help="For `ringfort canary new` and `remove`."),
    drop_evidence: bool = typer.Option(
        False, "--drop-evidence", help="For `ringfort ledger drop-evidence`, of months before --before."
    ),
    before: str = typer.Option(
        "", "--before", metavar="MONTH", help="With --drop-evidence: the first month that is kept."
    ),
    recipient: str = typer.Option(
        "", "--recipient", metavar="NAME", help="With --erase or --rotate: the legal entity of the domain."
    ),
    epoch: int = typer.Option(0, "--epoch", metavar="N", min=0, help="With --erase: this epoch alone."),
    reason: str = _REASON,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Ask for a grant. It is in force from the last approval that it needs.

    How many approvals it needs and for how long it may last stands in policy/grants.toml. What cannot be
    undone (--erase, --rotate, --rewrap, --canary, --drop-evidence) covers no table, and names
    the domain or the months that it is about.

    Example: ringfort request ./shop --as aoife --purpose customer-support --ticket T-1 --table shop.messages
    --for 2h

    Example: ringfort request ./shop --as olga --erase --recipient "ACME Inc" --purpose product-analytics
    --epoch 1 --ticket T-2 --for 1h
    """
    flags = {
        "operate": operate, "resolve": resolve, "bridge": bridge, "erase": erase, "rotate": rotate,
        "rewrap": rewrap, "canary": canary, "drop-evidence": drop_evidence,
    }  # fmt: skip
    kinds = [kind for kind, chosen in flags.items() if chosen]
    if len(kinds) > 1:
        raise UsageError("a grant is of one kind", hint="ask for each kind by itself")
    reason = stated(reason)
    if kinds and kinds[0] in IRREVERSIBLE:
        if tables:
            raise UsageError("what cannot be undone covers no table", hint="leave --table out")
        ticket, seconds = stated(ticket, "ticket"), duration_seconds(lasting)
        facts = GrantFacts(
            "",
            kinds[0],
            purpose,
            ticket,
            (),
            seconds,
            recipient=recipient,
            epoch=epoch,
            before=month_begins(before) if before else "",
        )
    elif recipient or epoch or before:
        raise UsageError("--recipient and --epoch go with --erase or --rotate, --before with --drop-evidence")
    elif not purpose:
        raise UsageError("the purpose is missing", hint="name it with --purpose")
    else:
        facts = _facts(purpose, ticket, tables, lasting, *kinds)
        facts = with_reach(load_config(folder), facts, with_triggers=with_triggers)
    with _desk(folder, who, stdin=password_stdin) as desk:
        ask = desk.request_act if facts.kind in IRREVERSIBLE else desk.request
        grant = ask(who, facts, reason)
        able = desk.may_approve(grant.id)
    if len(able) < grant.needed:
        sys.stderr.write(
            f"warning: {grant.id} needs {_times(grant.needed)}; so many who are registered may: {len(able)}\n"
            "hint: an operator registers others: `ringfort principal add DIR NAME --role approver`\n"
        )
    said = f"requested {grant.id}: needs {_times(grant.needed)} until {_until(grant.open_until)}"
    _tell(
        grant,
        f"{said}\nnext: somebody who may runs `ringfort approve {folder} {grant.id} --as NAME`",
        as_json,
    )


def approve(
    folder: Path = _FOLDER,
    grant: str = _GRANT,
    who: str = _AS,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Approve a request, if policy permits it.

    Example: ringfort approve ./shop g-1a2b3c4d --as ronan
    """
    with _desk(folder, who, stdin=password_stdin) as desk:
        now = desk.approve(who, grant)
    missing = now.needed - len(now.approvers)
    text = f"in force until {_until(now.ends)}" if now.ends else f"needs {_times(missing, 'more ')}"
    _tell(now, f"approved {now.id}: {text}", as_json)


def deny(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    grant: str = _GRANT,
    who: str = _AS,
    reason: str = _REASON,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Deny a request, if policy permits it: it is over.

    Example: ringfort deny ./shop g-1a2b3c4d --as ronan --reason "the ticket is closed"
    """
    reason = stated(reason)
    with _desk(folder, who, stdin=password_stdin) as desk:
        now = desk.deny(who, grant, reason)
    _tell(now, f"denied {now.id}", as_json)


def revoke(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    grant: str = _GRANT,
    who: str = _AS,
    reason: str = _REASON,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """End a grant, or withdraw a request. Sessions that stand on it end within a second.

    Whom it is for may, and whoever approved it or might.

    Example: ringfort revoke ./shop g-1a2b3c4d --as aoife
    """
    reason = stated(reason)
    with _desk(folder, who, stdin=password_stdin) as desk:
        now = desk.revoke(who, grant, reason)
    _tell(now, f"revoked {now.id}", as_json)


def break_glass(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    who: str = _AS,
    purpose: str = _PURPOSE,
    ticket: str = _TICKET,
    tables: list[str] = _TABLES,
    lasting: str = typer.Option("30m", "--for", metavar="TIME", help="For how long: 10m, 1h."),
    operate: bool = _OPERATE,
    with_triggers: bool = _TRIGGERS,
    reason: str = typer.Option(..., "--reason", metavar="TEXT", help="Why, in a line that names no person."),
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Take a grant in an emergency, without asking. It is in force at once and short.

    Somebody else must review it. Whoever has one unreviewed past its deadline takes no other.

    Example: ringfort break-glass ./shop --as aoife --purpose incident --ticket I-7 --table shop --for 30m
    --reason "payments fail"
    """
    facts = _facts(purpose, ticket, tables, lasting, "operate" if operate else "view")
    facts = with_reach(load_config(folder), facts, with_triggers=with_triggers)
    reason = stated(reason)
    with _desk(folder, who, stdin=password_stdin) as desk:
        grant = desk.break_glass(who, facts, reason)
    text = f"in force until {_until(grant.ends)}, to be reviewed until {_until(grant.review_due)}"
    _tell(grant, f"broke the glass {grant.id}: {text}", as_json)


def review(  # noqa: PLR0917 - typer calls it by name
    folder: Path = _FOLDER,
    grant: str = _GRANT,
    who: str = _AS,
    outcome: str = typer.Option(
        ..., "--outcome", metavar="WORD", help="`justified`, or `unjustified`, which ends it."
    ),
    reason: str = _REASON,
    password_stdin: bool = _STDIN,
    as_json: bool = _JSON,
) -> None:
    """Review a broken glass, as somebody who may approve.

    Example: ringfort review ./shop g-1a2b3c4d --as ronan --outcome justified
    """
    reason = stated(reason)
    with _desk(folder, who, stdin=password_stdin) as desk:
        now = desk.review(who, grant, outcome, reason)
    _tell(now, f"reviewed {now.id}: {now.outcome}", as_json)


def grants(
    folder: Path = _FOLDER,
    everything: bool = typer.Option(False, "--all", help="Also those that are over and need nothing."),
    as_json: bool = _JSON,
) -> None:
    """List the grants that wait, that are in force, and those that wait for a review.

    Example: ringfort grants ./shop --json
    """
    known = sorted(read_ledger(folder).state.grants.values(), key=lambda each: (each.requested, each.id))
    now = datetime.now(UTC)
    if not everything:
        known = [each for each in known if each.status(now) in {"requested", "active"} or _open_review(each)]
    if as_json:
        typer.echo(json.dumps({"grants": [_json(each, now) for each in known]}, ensure_ascii=False, indent=2))
        return
    for each in known:
        about = [
            each.recipient,
            each.purpose,
            f"epoch {each.epoch}" if each.epoch else "",
            f"before {each.before[:7]}" if each.before else "",
        ]
        words = [each.status(now), each.kind, each.principal, *about, each.ticket, *each.tables]
        typer.echo(f"{each.id}  {' '.join(filter(None, words))}")
        until = _until(each.ends or each.open_until)
        typer.echo(f"{' ' * len(each.id)}  until {until}{_note(each, now)}")
        for effect in each.effects:
            typer.echo(f"{' ' * len(each.id)}  sets off: {effect}")
    if not known:
        typer.echo("no grant waits or is in force; `ringfort request` asks for one")


@contextlib.contextmanager
def _desk(folder: Path, who: str, *, stdin: bool) -> Iterator[Desk]:
    """The desk, for somebody who has proven to be `who`."""
    config = load_config(folder)
    password = ask_password(who, stdin=stdin)
    with open_ledger(config.folder) as ledger:
        proven(config.folder / "secrets", ledger.state, who, password)
        yield Desk(ledger, config.region.countries)


def _facts(purpose: str, ticket: str, tables: list[str], lasting: str, kind: str = "view") -> GrantFacts:
    purpose, ticket = stated(purpose, "purpose"), stated(ticket, "ticket")
    return GrantFacts("", kind, purpose, ticket, tuple(sorted(set(tables))), duration_seconds(lasting))


def _tell(grant: Grant, text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_json(grant, datetime.now(UTC)), ensure_ascii=False, indent=2))
    else:
        typer.echo(text)
        for effect in grant.effects:
            typer.echo(f"{' ' * len(grant.id)}  sets off: {effect}")


def _json(grant: Grant, now: datetime) -> dict[str, Any]:
    return {
        "grant": grant.id,
        "state": grant.status(now),
        "principal": grant.principal,
        "kind": grant.kind,
        "purpose": grant.purpose,
        "ticket": grant.ticket,
        "tables": list(grant.tables),
        "seconds": grant.seconds,
        "recipient": grant.recipient,
        "epoch": grant.epoch,
        "before": grant.before,
        "reason": grant.reason,
        "requested": _iso(grant.requested),
        "open_until": _iso(grant.open_until),
        "needed": grant.needed,
        "approvers": list(grant.approvers),
        "starts": _iso(grant.starts),
        "ends": _iso(grant.ends),
        "over_because": grant.over_because,
        "break_glass": grant.break_glass,
        "review_due": _iso(grant.review_due),
        "review_overdue": grant.overdue(now),
        "reviewer": grant.reviewer,
        "outcome": grant.outcome,
        "effects": list(grant.effects),
    }


def _open_review(grant: Grant) -> bool:
    return grant.break_glass and not grant.outcome


def _note(grant: Grant, now: datetime) -> str:
    if _open_review(grant):
        return f", review {'OVERDUE since' if grant.overdue(now) else 'due'} {_until(grant.review_due)}"
    if grant.outcome:
        return f", {grant.outcome} ({grant.reviewer})"
    if grant.status(now) == "requested":
        return f", {len(grant.approvers)} of {grant.needed} approvals"
    return f", {grant.over_because}" if grant.over_because else ""


def _times(count: int, word: str = "") -> str:
    return f"{count} {word}approval{'' if count == 1 else 's'}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _until(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")
