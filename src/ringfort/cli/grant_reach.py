"""What an operate grant would reach beside its tables: looked up before anybody is asked to approve it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ringfort.cli.domain import ask_provisioner
from ringfort.errors import CheckFailedError, UsageError
from ringfort.gateway.provisioner_reach import Reach, missing

if TYPE_CHECKING:
    from ringfort.config import Config
    from ringfort.policy.grants import GrantFacts

_NOT_UP = "the deployment is not up: what a change of the tables reaches is looked at when the session opens"


def with_reach(config: Config, facts: GrantFacts, *, with_triggers: bool) -> GrantFacts:
    """The facts with what a change of the tables sets off, if `with_triggers`; raises if they reach more."""
    if facts.kind != "operate":
        if with_triggers:
            raise UsageError("--with-triggers is for operate grants", hint="use it with --operate")
        return facts
    answer = ask_provisioner(config, "reach", tables=list(facts.tables))
    if answer is None:
        if with_triggers:
            raise CheckFailedError(
                "the deployment is not up, and only the database can tell what is set off",
                hint="start it with `ringfort up` first",
            )
        typer.echo(_NOT_UP, err=True)
        return facts
    found = Reach(tuple((str(name), str(why)) for name, why in answer["tables"]), tuple(answer["effects"]))
    lacking = missing(found, found.effects if with_triggers else ())
    if lacking:
        hint = (
            "ask for these tables, too; one that is not in the catalogue is classified there first"
            if found.tables
            else "ask with --with-triggers, which names it"
        )
        raise CheckFailedError(f"a change of these tables reaches {lacking}", hint=hint, sqlstate="42501")
    return replace(facts, effects=found.effects) if with_triggers else facts


__all__ = ["with_reach"]
