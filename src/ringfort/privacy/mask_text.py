"""Text that people wrote, with what looks like personal data struck out: `ringfort.mask_text_v2` as columns.

Addresses of e-mail and of the web, handles, IBANs, IP addresses, phone and other long numbers become markers
(`form_rules.STRUCK_OUT`). Found is what has such a shape, and nothing else: names of people and places,
stories, and numbers in words stay. So this helps who may read such text, and anonymises nothing.
A text longer than `WRITTEN_LIMIT` characters is cut. Takes a column that was cleaned and not cut.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ringfort.privacy import form_rules as rules
from ringfort.privacy.text_columns import cut, joined, longest, matches


def written(text: pa.Array) -> pa.Array:
    """The texts with markers where something was struck out."""
    text = _shortened(text)
    suspicious = matches(text, rules.SUSPICIOUS)
    found = text.filter(suspicious)
    for shape, marker, hint in rules.STRUCK_OUT:
        found = _struck(found, shape, marker, hint)
    return _put(text, suspicious, found)


def _shortened(text: pa.Array) -> pa.Array:
    limit = rules.WRITTEN_LIMIT
    if longest(text) <= limit:
        return text
    too_long = pc.greater(pc.utf8_length(cut(text, limit + 1)), limit)
    begins = cut(text.filter(too_long), limit)
    ends = pc.replace_substring_regex(begins, rules.CUT_END, "", max_replacements=1)
    return _put(text, too_long, joined(ends, rules.CUT, like=text))


def _struck(text: pa.Array, shape: str, marker: str, hint: str) -> pa.Array:
    """To look for the hint is quicker than to replace, and most texts hold few of all shapes."""
    likely = matches(text, hint)
    return _put(text, likely, pc.replace_substring_regex(text.filter(likely), shape, marker))


def _put(text: pa.Array, where: pa.Array, changed: pa.Array) -> pa.Array:
    """The texts with others where a condition holds; null stays null."""
    return pc.replace_with_mask(text, where.fill_null(False), changed) if len(changed) else text
