"""Inspection finds what is planted, whatever stands around it; results do not depend on how rows are cut."""

import json
import random

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.privacy.inspected import fingerprints, found, plan

from ringfort.privacy.inspection import ColumnRule, InspectionResult, inspect_batch
from ringfort.privacy.inspection_patterns import PATTERNS, SIEVE
from ringfort.privacy.inspection_text import plain, readings, words

KNOWN = fingerprints(
    name=["Zenobia Quartermain", "Łukasz Wójcik"], phone=["+353861234567"], iban=["IE64IRCE92050112345678"]
)
PLANTED = {
    "email": ["mark.er9@example.org", "Mark.Er9 @ Example.Org", "MARK.ER9@EXAMPLE.ORG"],
    "card": ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005"],
    "iban": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00"],
    "phone": ["+44 20 7946 0958", "+49 171 123 4567"],
    "known_name": [
        "Zenobia Quartermain",
        "quartermain, zenobia quartermain",
        "ZENOBIA\tQUARTERMAIN",
        "lukasz WOJCIK",
    ],
    "known_iban": ["IE64 IRCE 9205 0112 3456 78"],
}
# what stands before and after: anything, but not glued to it
AROUND = st.text(st.characters(exclude_categories=["Cs", "N"]), max_size=30).filter(
    lambda text: not text.rstrip().endswith(("@", ".", "+", "-", "/", "*"))
)
PLANTS = st.sampled_from([(kind, text) for kind, texts in PLANTED.items() for text in texts])
DIRTY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
VALUES = st.one_of(
    st.none(),
    DIRTY,
    st.sampled_from(
        ["a@example.org", "4111111111111111", "353861234567", "123456789", "zenobia quartermain", "ok"]
    ),
    st.from_regex(r"[0-9]{9,12}", fullmatch=True),
)
ONE = plan(ColumnRule("c"), ColumnRule("n"), known=KNOWN)


@settings(max_examples=40)
@given(PLANTS, AROUND, AROUND)
def test_what_is_planted_is_found(plant, before, after):
    kind, text = plant
    column = pa.array([None, f"{before} {text} {after}", "nothing"])
    for each in (column, column.dictionary_encode(), column.cast(pa.large_string())):
        assert found(inspect_batch(ONE, pa.record_batch({"c": each}))).get(("c", kind)) == 1


def batch(values):
    numbers = [
        int(each) if each and each.isascii() and each.isdigit() and len(each) < 19 else None
        for each in values
    ]
    return pa.record_batch({"c": pa.array(values, pa.string()), "n": pa.array(numbers, pa.int64())})


@settings(max_examples=25)
@given(st.lists(VALUES, max_size=40), st.data())
def test_how_rows_are_cut_makes_no_difference(values, data):
    whole = batch(values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    parts = [
        inspect_batch(ONE, whole.slice(start, end - start))
        for start, end in zip([0, *cuts], [*cuts, len(values)], strict=True)
    ]
    expected = inspect_batch(ONE, whole)
    merged = InspectionResult()
    for each in data.draw(st.permutations(parts)):
        merged = merged.merge(each)
    assert merged == expected
    assert merged.findings() == expected.findings()
    encoded = pa.record_batch({name: whole[name].dictionary_encode() for name in ("c", "n")})
    assert inspect_batch(ONE, encoded) == expected


@settings(max_examples=20)
@given(st.lists(st.lists(VALUES, max_size=10), min_size=3, max_size=3))
def test_merging_is_associative_and_commutative(three):
    one, two, other = (inspect_batch(ONE, batch(each)) for each in three)
    assert one.merge(two).merge(other) == one.merge(two.merge(other))
    assert one.merge(two) == two.merge(one)
    assert (
        InspectionResult().merge(one)
        == one
        == InspectionResult.from_json(json.loads(json.dumps(one.to_json())))
    )


@settings(max_examples=50)
@given(st.lists(DIRTY, max_size=20))
def test_texts_are_read_without_raising(values):
    column = pa.array(values, pa.string())
    texts, owners = readings(column)
    assert len(plain(column)) == len(values)
    assert texts.slice(0, len(values)).equals(plain(column))
    assert all(0 <= each < len(values) for each in owners.tolist())
    cut = words(texts)
    assert cut.starts[-1] == len(cut.data)
    assert (cut.digits <= cut.starts[1:] - cut.starts[:-1]).all()


WRITTEN = [
    "+353 86 123 4567",
    "tel. 086 1234567",
    "(01) 234 5678",
    "IE64 IRCE 9205 0112 3456 78",
    "4111-1111-1111-1111",
    "86.41.12.200",
    "2001:db8:85a3::8a2e:370:7334",
    "https://a.org/users/123456",
    "850709-9805",
    "a.b@c.org",
    "RSSMRA85T10A562S",
    "bsn 111222333",
    "téléfono: 12345678",
    "756.9217.0769.85",
    "1 84 12 76 451 089 46",
    "X5253868R",
    "codice fiscale RSSMRA85T10A562S",
    "phone=+1 (415) 867-5309",
    "www.x.org?id=12345678901",
    "0171/1234567",
]


def test_what_holds_matches_its_shape():
    """The quick sieve loses nothing that the second look would find."""
    draw = random.Random(11)
    texts = []
    for _ in range(4000):
        letters = list(draw.choice(WRITTEN))
        for _ in range(draw.randrange(6)):
            at = draw.randrange(len(letters) + 1)
            letters[at : at + draw.randrange(2)] = draw.choice(
                ["", *"0123456789 +-.()/:@abXYZé\u00a0\t,#=[]"]
            )
        texts.append("".join(letters))
    column = plain(pa.array(texts))
    sieved = pc.match_substring_regex(column, SIEVE).to_pylist()
    for pattern in PATTERNS:
        shaped = pc.match_substring_regex(column, pattern.shape).to_pylist()
        held = [pattern.holds(each) for each in column.to_pylist()]
        assert any(held)
        assert all(a and b for a, b, c in zip(shaped, sieved, held, strict=True) if c), pattern.kind
