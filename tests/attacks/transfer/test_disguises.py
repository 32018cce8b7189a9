"""Personal data in disguise: what inspection sees through, and what is known to pass it.

The list of what passes is the one in docs/known-weaknesses.md; a test that begins to fail there is good news.
"""

import base64
import json
import urllib.parse

import pyarrow as pa
import pytest
from tests.unit.privacy.inspected import fingerprints, found, plan

from ringfort.privacy.inspection import inspect_batch

MAIL = "mark.er-9@example.org"
KNOWN = fingerprints(name=["Zenobia Quartermain"], phone=["+353 86 123 4567"], email=["zq@example.net"])


def wide(text):
    """Full-width forms of ASCII."""
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


SEEN_THROUGH = {
    "base64": ("email", base64_of(f"contact {MAIL}")),
    "base64url in text": ("email", f"token={base64_of(MAIL).rstrip('=')}; ok"),
    "base64 twice": ("email", base64_of(base64_of(f"contact {MAIL}"))),
    "hexadecimal": ("email", MAIL.encode().hex()),
    "hexadecimal with spaces": ("email", MAIL.encode().hex(" ")),
    "hexadecimal escapes": ("email", "".join(f"\\x{each:02x}" for each in MAIL.encode())),
    "hexadecimal with 0x": ("known_name", "0x" + b"zenobia quartermain".hex().upper()),
    "percent signs": ("email", urllib.parse.quote(MAIL, safe="").replace(".", "%2E")),
    "percent signs twice": ("email", "mark.er%2540example.org"),
    "HTML entities": ("email", MAIL.replace("@", "&#64;")),
    "JSON escapes": ("email", json.dumps({"m": wide(MAIL)})),
    "full-width": ("email", wide(MAIL)),
    "mathematical letters": ("email", "𝐦𝐚𝐫𝐤@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐨𝐫𝐠"),
    "zero-width in between": ("email", "\u200b".join(MAIL)),
    "soft hyphens": ("known_name", "Zeno\u00adbia Quarter\u00admain"),
    "right-to-left marks": ("card", "\u202e4111 1111\u202c 1111 1111"),
    "spelt": ("email", "mark.er (at) example [dot] org"),
    "said": ("email", "mail mark at example dot org"),
    "spaces around": ("email", "mark @ example . org"),
    "digits of another script": ("card", "٤١١١ ١١١١ ١١١١ ١١١١"),
    "full-width digits": ("card", wide("4111111111111111")),
    "odd hyphens": ("card", "4111‑1111‑1111‑1111"),
    "no-break spaces": ("iban", "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000"),
    "lower case": ("iban", "de89370400440532013000"),
    "dots in between": ("known_phone", "353.86.123.4567"),
    "dialled at home": ("known_phone", "ask 0861234567"),
    "accents": ("known_name", "Zénobïa QUARTERMÁIN"),
    "underscores": ("known_name", "zenobia_quartermain"),
    "syllables": ("known_name", "zenobia quarter main"),
    "turned around": ("known_name", "Quartermain, Zenobia Quartermain"),
    "in a file name": ("known_name", "/home/zenobia-quartermain.pdf"),
    "lines": ("known_name", "zenobia\r\n  quartermain"),
    "within JSON": ("known_name", '{"first":"Zenobia","last":"Quartermain"}'),
}  # fmt: skip
PASSES = {
    "letters of another script": "m\u0430rk.er-9@ex\u0430mple".replace(".er", "") + " org",
    "turned back to front": MAIL[::-1].replace(".", " "),
    "rot13": "znex re rknzcyr bet",
    "only the last name": "quartermain",
    "first letter alone": "Z. Quartermain",
    "misspelt": "Zenobja Quartermain",
    "a word between": "Zenobia, called Zen, Quartermain",
    "in words": "plus three five three eight six one two three four five six seven",
    "compressed": base64.b64encode(bytes.fromhex("789c4b2cca4e2dd2cb4bce4f050015b40425")).decode(),
    "ascii85": base64.a85encode(b"contact mark er").decode(),
    "cut in two": "zenobia quarterm",
}


@pytest.mark.parametrize(("kind", "text"), SEEN_THROUGH.values(), ids=SEEN_THROUGH)
def test_it_is_seen_through(kind, text):
    result = inspect_batch(plan(known=KNOWN), pa.record_batch({"c": ["nothing", text]}))
    assert found(result).get(("c", kind)) == 1


@pytest.mark.parametrize("text", PASSES.values(), ids=PASSES)
def test_it_is_known_to_pass(text):
    assert found(inspect_batch(plan(known=KNOWN), pa.record_batch({"c": [text]}))) == {}


@pytest.mark.parametrize(
    "text",
    [
        "%" * 5000, "@" * 5000, "a@" * 3000, "1 " * 5000, "+1" * 4000, "IE64" * 2000, "=" * 5000, "&#" * 3000,
        "A" * 100_000 + "@", "0" * 100_000, "\\u" * 3000, "(at)" * 2000, "::" * 4000, "1.2." * 3000,
        "4111 " * 2000, "x@y." * 2000, "http://" * 2000, "tel " * 2000, "zenobia " * 2000, "QUFB" * 5000,
        "bsn " * 2000, "[" * 5000, '{"a":' * 3000, "0 1" * 3000,
        " at " * 1500 + " dot ",
    ],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
@pytest.mark.timeout(120)  # a pattern that goes back over its text would take hours
def test_texts_made_to_be_slow_are_not(text):
    """No pattern goes back over a text again and again."""
    inspect_batch(plan(known=KNOWN), pa.record_batch({"c": [text, text + "@example.org"]}))
