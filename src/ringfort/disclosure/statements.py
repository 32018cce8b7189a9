"""The statement allow-list: what of PostgreSQL's SQL a profile session may send. Default: nothing.

`judge` reads a text with the server's own grammar and walks the tree: SELECT, VALUES, TABLE, set operations
and CTEs that only read; COPY (query) TO STDOUT; cursors without HOLD; transactions that stay read-only;
PREPARE, EXECUTE and DEALLOCATE over such statements; SET, RESET and SHOW of listed parameters; what drivers
send to reset a connection. Every statement of a text is judged. Everything else is refused with SQLSTATE,
reason and hint. An operate session (`Surface.operate`) may also change its tables: `statement_operate`.

Invariants: the database is the wall (DESIGN section 5); this is the gate before it, and closes what roles
cannot. `Verdict.reason` and `Verdict.shape` are built from our own words and catalogued names and may stand
in a ledger entry; `Verdict.hint` may quote the client's words and goes to the client only. Two texts with one
`normalised_key` get one verdict, unless it is `literal_dependent`.

A text that reads the system catalogue, or calls what tells of objects by number or name, is allowed in
another form: `Verdict.rewritten`, in which filtered copies stand (statement_rewrite.py). So is one whose
answer would depend on where rows lie, for a surface whose orders are filled in (statement_order.py).

Left out: what a read costs (limits are the session's).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ringfort.disclosure.statement_key import constants, normalised_key
from ringfort.disclosure.statement_kinds import read_statement
from ringfort.disclosure.statement_operate import COPY_IN
from ringfort.disclosure.statement_order import fill_orders
from ringfort.disclosure.statement_refusal import StatementRefusedError
from ringfort.disclosure.statement_rewrite import Replacements, Rewriting
from ringfort.disclosure.statement_shape import Block, render
from ringfort.disclosure.statement_surface import Shown, Surface
from ringfort.disclosure.statement_walk import Walk

if TYPE_CHECKING:
    from ringfort.disclosure.statement_rules import Node

_PRECEDENCE = (
    "copy_in",
    "write",
    "copy_out",
    "read",
    "cursor",
    "execute",
    "prepare",
    "setting",
    "transaction",
    "utility",
)


@dataclass(frozen=True)
class Verdict:
    """What the allow-list says of one text.

    `kind` is that of the statement that releases most, if there are several. `literal_dependent`: the verdict
    depends on a literal and must not be cached by `normalised_key`. `statements` counts those of the text.
    `rewritten` is what must be sent in place of the text, "" if that may be sent as it is; `template` the
    same with the constants of the text left open (words, or the number of a constant), for texts of one
    `normalised_key`; empty if there is none. `relations` are those of the surface that the text names.
    `frees`: for each statement that takes away prepared statements or portals its command tag, and the name
    or "".
    """

    allowed: bool
    kind: str
    shape: str = ""
    sqlstate: str = ""
    reason: str = ""
    hint: str = ""
    literal_dependent: bool = False
    statements: int = 0
    rewritten: str = ""
    template: tuple[str | int, ...] = ()
    relations: tuple[str, ...] = ()
    frees: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the parser process answers it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """The inverse of `to_json`."""
        fields = {name: value[name] for name in cls.__dataclass_fields__}
        frees = tuple((str(tag), str(name)) for tag, name in fields["frees"])
        return cls(
            **fields
            | {
                "template": tuple(fields["template"]),
                "relations": tuple(fields["relations"]),
                "frees": frees,
            }
        )


def judge(sql: str, surface: Surface) -> Verdict:
    """Judge the text `sql` for a session that sees `surface`. Never raises on any text.

    Pure, but the C grammar may die on a hostile text: call it in the parser process only.
    """
    from ringfort.disclosure.statement_text import parse  # noqa: PLC0415 - workers never load the C grammar

    literal_dependent = False
    rewritten = ""
    template: tuple[str | int, ...] = ()
    shown = {each.relation: each for each in surface.shown}
    kind = "utility"
    count = 0
    try:
        trees = parse(sql)
        count = len(trees)
        if not trees:
            return Verdict(allowed=True, kind="empty", shape=render([("empty", Block())]))
        judged: list[tuple[str, Block]] = []
        named: set[str] = set()
        frees: list[tuple[str, str]] = []
        replacements = Replacements()
        unordered: list[tuple[Node, dict[int, Shown]]] = []
        for tree in trees:
            walk = Walk(surface, replacements)
            block = Block()
            try:
                kind = read_statement(tree, walk, block)
            finally:
                literal_dependent = literal_dependent or walk.literal_dependent
            named.update(walk.views.values())
            judged.append((kind, block))
            frees += walk.frees
            views = {each: shown[name] for each, name in walk.views.items() if name in shown}
            if not all(each.stored_order for each in views.values()):
                unordered.append((tree, views))
        # what is sent holds the text's own constants: it is the answer to this very text only
        literal_dependent = literal_dependent or bool(replacements)
        rewriting = Rewriting(sql, trees) if replacements or unordered else None
        if rewriting is not None:
            rewriting.replace(replacements)
            for tree, views in unordered:
                literal_dependent = fill_orders(tree, views, rewriting.edits) or literal_dependent
            rewritten = rewriting.text()
            if rewritten == sql:
                rewritten = ""
            elif not literal_dependent:
                template = rewriting.template()
                literal_dependent = not template
    except StatementRefusedError as refusal:
        return Verdict(
            allowed=False,
            kind="utility",
            sqlstate=refusal.sqlstate,
            reason=refusal.message,
            hint=refusal.hint,
            literal_dependent=literal_dependent,
            statements=count,
        )
    kinds = {kind for kind, _ in judged}
    if COPY_IN in kinds and count > 1:
        return Verdict(
            allowed=False,
            kind="utility",
            sqlstate="0A000",
            reason="COPY FROM STDIN stands among other statements",
            hint="send it by itself",
            literal_dependent=True,
            statements=count,
        )
    return Verdict(
        allowed=True,
        kind=next(name for name in _PRECEDENCE if name in kinds),
        shape=render(judged),
        literal_dependent=literal_dependent,
        statements=count,
        rewritten=rewritten,
        template=template,
        relations=tuple(sorted(named)),
        frees=tuple(frees),
    )


__all__ = ["Shown", "Surface", "Verdict", "constants", "judge", "normalised_key"]
