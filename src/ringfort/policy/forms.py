"""The disclosure ladder: the forms in which a column may be shown, from most to least revealing.

Policy answers one question: in which form may this principal, for this purpose, from this place, see this
column? The gateway asks from the top of the ladder and takes the first form that policy permits; nothing
permitted means `hidden`. There is one Cedar action per form; `hidden` needs none, because it is what is left.

Invariants: the ladder is a total order, so the *meet* of any forms (the least revealing of them) exists and
is one of them, and the meet of nothing is `hidden`: whoever combines decisions can only ever reveal less.

`aggregate` and `noisy` are forms that policy can already name. Nothing answers in them yet, so a decision for
them acts as `hidden` and says so: see `WITHOUT_ANSWER`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Form(StrEnum):
    """A form of the ladder; the order of definition is the order of the ladder."""

    RAW = "raw"
    """the value as it is stored"""
    MASKED = "masked"
    """a part of the value, the rest replaced"""
    GENERALISED = "generalised"
    """a coarser value that many share: a year, a region, a range"""
    PSEUDONYM = "pseudonym"
    """a keyed replacement, equal for equal values within one pseudonymisation domain"""
    AGGREGATE = "aggregate"
    """only within groups of at least k people"""
    NOISY = "noisy"
    """only in differentially private answers"""
    HIDDEN = "hidden"
    """not at all"""

    @property
    def rank(self) -> int:
        """Place on the ladder: 0 for `raw`, the most revealing; larger reveals less."""
        return _RANK[self]


FORMS: tuple[Form, ...] = tuple(Form)
"""The ladder, most revealing first."""

ASKED: tuple[Form, ...] = FORMS[:-1]
"""The forms that Cedar is asked for, in this order; each is the id of an `Action`."""

WITHOUT_ANSWER: frozenset[Form] = frozenset({Form.AGGREGATE, Form.NOISY})
"""Forms that policy may permit but that nothing answers in yet: they act as `hidden`."""

_RANK = {form: place for place, form in enumerate(FORMS)}


def meet(forms: Iterable[Form]) -> Form:
    """The least revealing of `forms`; `hidden` if there are none."""
    return max(forms, key=_RANK.__getitem__, default=Form.HIDDEN)


def effective(form: Form) -> Form:
    """The form that is really served where policy permits `form`: `hidden` for those without an answer."""
    return Form.HIDDEN if form in WITHOUT_ANSWER else form
