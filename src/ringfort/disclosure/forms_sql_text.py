r"""The SQL of masks and generalisations of text: one expression each, written so that it is cheap per row.

In the texts below `$S` is the value in collation "C" and cut, `$DIGITS` its digits, `$COMPACT` its letters
(as capitals) and digits, where only the signs of numbers and codes stand between them.

What makes them cheap, measured: PostgreSQL evaluates an expression as often as it stands there (BETWEEN
evaluates twice), so each is written as seldom as can be. A regular expression costs 0.3 to 2 microseconds,
most if it has many classes, captures, a long bounded repetition, or begins anywhere; `translate` costs 0.01
for each character of both texts; `split_part`, `strpos`, `substr` and `replace` cost 0.05 to 0.2. So the
shape of most values is asked for first, in cheap words. Lists are array literals, which need no folding at
each planning. Limits, lists and shapes are those of `ringfort.privacy.form_rules`, which the columnar forms
read as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfort.privacy import form_rules as rules
from ringfort.privacy.country_groups import COUNTRY_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

_PADDING = r"E' \t\n\x0b\f\r'"  # rules.PADDING; SQL knows no \v
_BARE = "replace($S, ' ', '')"  # spaces go first: what a regular expression takes out costs most
# `left` counts characters, which takes as long as all else, and few values are as long as that
_CUT = (
    f"(CASE WHEN octet_length(value) <= {rules.TEXT_LIMIT} THEN value "
    f'ELSE left(value, {rules.TEXT_LIMIT}) END COLLATE "C")'
)
_MARKS = {
    "$DIGITS": f"regexp_replace(ltrim({_BARE}, '+'), '[^0-9]', '', 'g')",
    "$COMPACT": "upper(translate($S, ' ./_-', ''))",  # of what has no other signs
    "$POSTCODE": f"replace({_BARE}, '-', '')",
    "$IBAN": f"upper(replace({_BARE}, '-', ''))",
    "$CARD": f"replace({_BARE}, '-', '')",
    "$TRIMMED": f"ltrim($S, {_PADDING})",
}


def text_expression(branches: str, otherwise: str = "") -> str:
    """A function's body: NULL for NULL, else the first branch that holds, else `otherwise` (SQL)."""
    for mark, meaning in _MARKS.items():
        branches, otherwise = branches.replace(mark, meaning), otherwise.replace(mark, meaning)
    chosen = f"CASE {branches} ELSE {otherwise} END" if branches else otherwise
    return f"CASE WHEN value IS NULL THEN NULL ELSE {chosen} END".replace("$S", _CUT)


def five_years(year: str) -> str:
    """The five years of birth that a year lies in, NULL for NULL; `year` is an integer expression."""
    bounds = ",".join(map(str, rules.BORN_BANDS))
    return f"({array(rules.BORN_LABELS)})[width_bucket({year}, '{{{bounds}}}'::integer[]) + 1]"


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def array(values: Iterable[str]) -> str:
    """Texts as an SQL array literal, which is one constant."""
    members = (each.replace("\\", "\\\\").replace('"', '\\"') for each in values)
    return quoted("{" + ",".join(f'"{each}"' for each in members) + "}") + "::text[]"


def _within(number: str, limits: tuple[int, int]) -> str:
    """Whether an integer lies within limits; `number` is evaluated once."""
    low, high = limits
    return f"abs(2 * {number} - {low + high}) <= {high - low}"


def _size(text: str, limits: tuple[int, int]) -> str:
    return _within(f"length({text})", limits)


_ASCII = "octet_length($S) = length($S)"  # in UTF-8


def _email() -> str:
    host, ending = "split_part($S, '@', 2)", "lower(split_part($S, '.', -1))"
    return f"""WHEN $S ~ '{rules.EMAIL}'
        THEN CASE WHEN {_three_letters("$S")} OR $S ~ '{rules.EMAIL_LOCAL}' THEN left($S, 1) ELSE '' END
        || '***@'
        || CASE WHEN {_three_letters(host)} OR {host} ~ '{rules.EMAIL_HOST}' THEN left({host}, 1) ELSE '' END
        || CASE WHEN {ending} = ANY ({array(rules.EMAIL_ENDINGS)}) THEN '***.' || {ending} ELSE '***' END"""


def _three_letters(text: str) -> str:
    """Whether a text begins with three letters of ASCII; at a third of the price of a regular expression."""
    return " AND ".join(
        f"abs(2 * (ascii({character}) | 32) - {ord('a') + ord('z')}) <= {ord('z') - ord('a')}"
        for character in (text, f"substr({text}, 2, 1)", f"substr({text}, 3, 1)")
    )


def _name() -> str:
    words = "".join(
        f" || CASE WHEN split_part($S, ' ', {at}) = '' THEN '' "
        f"ELSE ' ' || left(split_part($S, ' ', {at}), 1) || '***' END"
        for at in (2, 3)
    )
    plain = f"octet_length($S) <= {rules.NAME_LIMIT} AND $S ~ {pattern(rules.NAME_PLAIN)}"
    return f"WHEN {plain} THEN left($S, 1) || '***'{words}"


def _name_of_any_shape() -> str:
    words = f"substring(left($S, {rules.NAME_LIMIT}) FROM '{rules.THREE_WORDS}')"  # null: there is none
    spaced = f"regexp_replace({words}, '[{rules.SPACE}]+', ' ', 'g')"
    return rf"coalesce(regexp_replace({spaced}, {pattern(rules.WORD)}, '\1***', 'g'), '***')"


def _place() -> str:
    few = "replace(replace(replace($S, ' ', ''), ',', ''), '.', '')"
    return f"""WHEN octet_length({few}) >= {rules.ADDRESS_LENGTH} AND $S ~ '{rules.ADDRESS_PLAIN}'
        THEN translate(left($S, 3), '0123456789', '**********') || '***'
        WHEN $S ~ {pattern(rules.ADDRESS)}
        THEN regexp_replace(left($TRIMMED, 3), {pattern(rules.ADDRESS_HIDDEN)}, '*', 'g') || '***'"""


def _city() -> str:
    return f"""WHEN {_three_letters("$S")} THEN left($S, 1) || '***'
        WHEN $S ~ {pattern(rules.CITY)} THEN left($TRIMMED, 1) || '***'"""


def _address(four: int, six: int) -> str:
    v4 = " || '.' || ".join(f"split_part($TRIMMED, '.', {at})" for at in range(1, four + 1))
    v6 = " || ':' || ".join(f"split_part($TRIMMED, ':', {at})" for at in range(1, six + 1))
    shape = {2: rules.IPV6_32, 3: rules.IPV6_48}[six]
    ends = {2: ".0.0/16", 3: ".0/24"}[four], {2: "::/32", 3: "::/48"}[six]
    whole = f"AND left($TRIMMED, {len(rules.IPV6_OF_IPV4)}) <> '{rules.IPV6_OF_IPV4}'" if six == 3 else ""
    return f"""WHEN $S ~ '{rules.IPV4}' THEN {v4} || '{ends[0]}'
        WHEN strpos($S, ':') > 0 AND $S ~ '{shape}' {whole} THEN {v6} || '{ends[1]}'"""


def pattern(shape: str) -> str:
    """A shape as an SQL literal of ASCII alone, which a database of any encoding can store."""
    return quoted("".join(map(_escaped, shape)))


def _escaped(character: str) -> str:
    if character.isascii():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _written() -> str:
    limit = rules.WRITTEN_LIMIT
    whole = f"octet_length(value) <= {limit} OR length(left(value, {limit + 1})) <= {limit}"
    cut = f"regexp_replace(left(value, {limit}) COLLATE \"C\", {pattern(rules.CUT_END)}, '') || '{rules.CUT}'"
    text = f'(CASE WHEN {whole} THEN value ELSE {cut} END COLLATE "C")'
    struck = text
    for shape, marker, _ in rules.STRUCK_OUT:
        struck = f"regexp_replace({struck}, {pattern(shape)}, '{marker}', 'g')"
    return f"CASE WHEN {text} !~ {pattern(rules.SUSPICIOUS)} THEN {text} ELSE {struck} END"


_IBAN = f"left($IBAN, 2) || length($IBAN)::text = ANY ({array(rules.IBAN_SIZES)}) AND $IBAN ~ '{rules.IBAN}'"
_CARD = (
    f"($S !~ '{rules.NOT_OF_CARDS}' AND {_size('$S', rules.CARD_LENGTH)} "
    f"AND {_size('$CARD', rules.CARD_DIGITS)})"
)
_HOST = (
    f"rtrim(split_part(split_part(split_part(split_part($S, '/', 3), ':', 1), '?', 1), '#', 1), {_PADDING})"
)
_ISO = f"WHEN $S ~ '{rules.ISO_DAY}' THEN "
_POSTCODE_LOW, _POSTCODE_HIGH = rules.POSTCODE_LENGTH


def _card_schemes() -> str:
    branches = (
        " OR ".join(
            f"left($CARD, {size}) = ANY ({array(each for each in prefixes if len(each) == size)})"
            for size in sorted({len(each) for each in prefixes})
        )
        for prefixes, _ in rules.CARD_SCHEMES
    )
    pairs = zip(branches, (scheme for _, scheme in rules.CARD_SCHEMES), strict=True)
    return "\n".join(f"WHEN {test} THEN {quoted(scheme)}" for test, scheme in pairs)


def _user_agents() -> str:
    return "\n".join(
        f"WHEN {' OR '.join(f'strpos($S, {quoted(word)}) > 0' for word in words)} THEN {quoted(family)}"
        for words, family in rules.USER_AGENTS
    )


TEXT_BODIES: dict[str, str] = {
    "mask_email": text_expression(_email(), "'***'"),
    "general_email": text_expression(
        f"""WHEN lower(split_part($S, '@', 2)) = ANY ({array(rules.EMAIL_PROVIDERS)})
        AND $S ~ '{rules.EMAIL_ONE_AT}' THEN '@' || lower(split_part($S, '@', 2))""",
        "'other'",
    ),
    # the last two digits are mostly the last two characters, which spares a second regular expression
    "mask_phone": text_expression(
        f"""WHEN {_ASCII} AND {_size("$DIGITS", rules.PHONE_DIGITS)} THEN '***' || CASE
        WHEN translate(right($S, 2), '0123456789', '') = '' THEN right($S, 2) ELSE right($DIGITS, 2) END""",
        "'***'",
    ),
    "general_phone": text_expression(
        f"""WHEN $S ~ '{rules.INTERNATIONAL}'
        AND {_size("regexp_replace($DIGITS, '^00', '')", rules.DIALLED_DIGITS)}
        THEN coalesce('+' || substring($DIGITS FROM '{rules.CALLING_CODE}'), 'unknown')""",
        "'unknown'",
    ),
    "mask_name": text_expression(_name(), _name_of_any_shape()),
    "mask_ip": text_expression(_address(3, 3), "'***'"),
    "general_ip": text_expression(_address(2, 2), "'***'"),
    "mask_iban": text_expression(
        f"WHEN {_IBAN} THEN left($IBAN, 2) || '** **** ' || right($IBAN, 4)", "'***'"
    ),
    "general_iban": text_expression(f"WHEN {_IBAN} THEN left($IBAN, 2)", "'unknown'"),
    "mask_card": text_expression(f"WHEN {_CARD} THEN '**** ' || right($CARD, 4)", "'***'"),
    "general_card": text_expression(f"WHEN NOT {_CARD} THEN 'unknown' {_card_schemes()}", "'other'"),
    "mask_number_end": text_expression(
        f"WHEN $S ~ '{rules.NUMBER_END}' AND {_size('$COMPACT', rules.NUMBER_END_LENGTH)} "
        "THEN '***' || right($COMPACT, 2)",
        "'***'",
    ),
    "mask_code": text_expression(
        f"""WHEN {_within("octet_length($S)", (rules.CODE_LENGTH[0] + 1, rules.CODE_LENGTH[1]))}
        AND $S ~ '{rules.CODE_PLAIN}' THEN upper(left($S, 2)) || '***'
        WHEN $S !~ '{rules.NOT_OF_CODES}' AND {_size("$COMPACT", rules.CODE_LENGTH)}
        THEN left($COMPACT, 2) || '***'""",
        "'***'",
    ),
    "mask_address": text_expression(_place(), "'***'"),
    "mask_postcode": text_expression(
        f"""WHEN $S !~ '{rules.POSTCODE}' THEN '***'
        WHEN {_size("$POSTCODE", (_POSTCODE_LOW + 1, _POSTCODE_HIGH))} THEN upper(left($POSTCODE, 3)) || '**'
        WHEN length($POSTCODE) = {_POSTCODE_LOW} THEN upper(left($POSTCODE, 2)) || '**'""",
        "'***'",
    ),
    "general_postcode": text_expression(
        f"WHEN $S ~ '{rules.POSTCODE}' AND {_size('$POSTCODE', rules.POSTCODE_LENGTH)} "
        "THEN upper(left($POSTCODE, 2)) || '***'",
        "'***'",
    ),
    "mask_city": text_expression(_city(), "'***'"),
    "general_country": text_expression(
        "\n".join(
            rf"WHEN upper(btrim($S, E' \t\n\r')) = ANY ({array(names)}) THEN {quoted(group)}"
            for group, names in COUNTRY_GROUPS.items()
        ),
        "'other'",
    ),
    "mask_url": text_expression(
        f"""WHEN $S ~ '{rules.URL}' AND length({_HOST}) <= {rules.URL_HOST_MOST}
        AND {_within("(strpos($TRIMMED, '://') - 1)", rules.URL_SCHEME_LENGTH)}
        THEN split_part({_HOST}, '.', -2) || '.' || split_part({_HOST}, '.', -1)""",
        "'***'",
    ),
    "general_user_agent": text_expression(_user_agents(), "'other'"),
    "mask_text": text_expression("", _written()),
    "general_text": text_expression(
        "WHEN octet_length(value) = 0 THEN '(no text)'\n"
        + "\n".join(
            f"WHEN octet_length(value) <= {size} THEN '(text of up to {size} bytes)'"
            for size in rules.TEXT_SIZES
        ),
        "'(longer text)'",
    ),
    "age_text": text_expression(
        f"WHEN $S !~ '{rules.AGE}' THEN 'other'",
        f"""CASE left(lpad(btrim($S, {_PADDING}), 2, '0'), 1) WHEN '0' THEN '0-9' WHEN '9' THEN '90 or more'
        ELSE replace('x0-x9', 'x', left(btrim($S, {_PADDING}), 1)) END""",
    ),
    "day_text": text_expression(f"{_ISO} left($TRIMMED, 10)", "'unknown'"),
    "month_text": text_expression(f"{_ISO} left($TRIMMED, 7)", "'unknown'"),
    "year_text": text_expression(
        f"{_ISO} left($TRIMMED, 4)", f"coalesce(substring($S FROM '{rules.LOCAL_YEAR}'), 'unknown')"
    ),
    "born_text": text_expression(
        f"{_ISO} {five_years('left($TRIMMED, 4)::integer')}",
        f"coalesce({five_years(f'''substring($S FROM '{rules.LOCAL_YEAR}')::integer''')}, 'unknown')",
    ),
}

__all__ = ["TEXT_BODIES", "array", "five_years", "pattern", "quoted", "text_expression"]
