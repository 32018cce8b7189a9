"""Two patterns, two kinds, two methods share no permutation: they agree by chance alone.

Values are compared by their numbers: the same number, written in two patterns, must come out as two numbers
that have nothing to do with each other. Under derivation 1 they came out as one, which shows that the
comparison would see it.
"""

import itertools
import re

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ringfort.derivations import DERIVATIONS
from ringfort.privacy.epoch_keys import EpochSecret, derive_key, key_id, method_key
from ringfort.privacy.ff1 import MINIMUM_DOMAIN
from ringfort.privacy.formats import Ciphers, column
from ringfort.privacy.methods import FF1_KINDS, pseudonymise
from ringfort.privacy.pseudonym import PSEUDONYM_TYPES, Domain

KEY = bytes(range(32))
FIRST, CIPHERS = (Ciphers.of(KEY, each) for each in DERIVATIONS)
VALUES = 200
CHANCE = 3  # of 200 values with a million or more possible ones each: less than once in 10**11 runs
ALPHABETS = {"0": "0123456789", "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "a": "abcdefghijklmnopqrstuvwxyz"}


def size_of(pattern):
    size = 1
    for each in pattern:
        size *= len(ALPHABETS.get(each, "x"))
    return size


def written(pattern, number):
    """The value of this number in a pattern, whose first place is the most significant."""
    out = []
    for each in reversed(pattern):
        alphabet = ALPHABETS.get(each, each)
        number, place = divmod(number, len(alphabet))
        out.append(alphabet[place])
    return "".join(reversed(out))


def number_of(text):
    number = 0
    for each in text:
        for alphabet in ALPHABETS.values():
            if each in alphabet:
                number = number * len(alphabet) + alphabet.index(each)
    return number


def numbers(patterns):
    """Numbers that values of all these patterns have."""
    size = min(map(size_of, patterns))
    return [(each * 7_919_999_927 + 17) % size for each in range(VALUES)]


def agreeing(one, other):
    return sum(a == b for a, b in zip(one, other, strict=True))


def images(pattern, chosen, ciphers, form="code"):
    texts = [written(pattern, each) for each in chosen]
    made = column(pa.array(texts), form, ciphers)
    assert made.null_count == 0
    return [number_of(each) for each in made.to_pylist()]


def unrelated(*patterns):
    chosen = numbers(patterns)
    made = [images(each, chosen, CIPHERS) for each in patterns]
    return all(agreeing(*pair) <= CHANCE for pair in itertools.combinations(made, 2))


@st.composite
def pairs(draw):
    """A pattern, and another one that has as many possible values."""
    one = draw(st.lists(st.sampled_from("0Aa"), min_size=5, max_size=14))
    assume(MINIMUM_DOMAIN <= size_of(one) <= 2**63)
    other = draw(st.permutations(one))
    other = [draw(st.sampled_from("Aa")) if each in "Aa" else each for each in other]
    for pattern in (one, other):
        for _ in range(draw(st.integers(0, 3))):
            pattern.insert(draw(st.integers(0, len(pattern))), draw(st.sampled_from(" -./_:#+()")))
    assume(one != other)
    return "".join(one), "".join(other)


@given(pairs())
@settings(max_examples=120, deadline=None)
def test_patterns_of_one_size_share_no_permutation(patterns):
    assert unrelated(*patterns)


@pytest.mark.parametrize(
    "patterns",
    [
        ("AA0000", "0000AA", "aa0000", "A0A000", "Aa0000", "AA-0000", "AA0000-", "-AA0000"),
        ("0000-000", "000-0000", "0000 000", "0000000", "-0000000", "+0000000", "#0000000"),
        ("AAA000", "000AAA", "AAA 000"),
        ("AAAAAA00A00A000A", "000AAAAAA00A00AA"),
    ],
)
def test_patterns_that_people_have(patterns):
    assert unrelated(*patterns)


def test_what_was_shared_before_is_seen_by_this():
    """The fault that derivation 2 mends; the values of derivation 1 stay, so it is there for good."""
    for patterns in (("AA0000", "0000AA", "aa0000", "A-A0000"), ("0000-000", "000-0000", "-0000000")):
        chosen = numbers(patterns)
        made = [images(each, chosen, FIRST) for each in patterns]
        assert all(each == made[0] for each in made)


def test_patterns_of_as_many_bits_share_nothing_either():
    """Of unequal sizes: FF1 of binary strings beneath would be the same one."""
    one, other = "AAA0000", "A0000000"
    assert (size_of(one) - 1).bit_length() == (size_of(other) - 1).bit_length()
    chosen = numbers((one, other))
    assert agreeing(images(one, chosen, FIRST), images(other, chosen, FIRST)) > VALUES // 2
    assert unrelated(one, other)


def bodies(count=10):
    """Numbers as phones have them, which begin with no 0."""
    first = 10 ** (count - 1)
    return [str(first + each * 7_919_999_927 % (9 * first)) for each in range(VALUES)]


def phones(form, ciphers=CIPHERS):
    """The digits of the number in the pseudonyms of `bodies`, written so."""
    made = column(pa.array([form(each) for each in bodies()]), "phone", ciphers)
    assert made.null_count == 0
    return [re.sub("[^0-9]", "", each)[-10:] for each in made.to_pylist()]


WRITINGS = {
    "national": lambda body: body,
    "with a 0": lambda body: f"0{body}",
    "with two 0 and no code": lambda body: f"000{body}",
    "Irish": lambda body: f"+353 {body}",
    "British": lambda body: f"+44 {body}",
    "Italian": lambda body: f"+39 {body}",
    "Italian landline": lambda body: f"+39 0{body}",
    "extension of 2": lambda body: f"{body[:-2]} x{body[-2:]}",
    "extension of 3": lambda body: f"{body[:-3]} ext. {body[-3:]}",
    "Irish extension": lambda body: f"+353 {body[:-2]}x{body[-2:]}",
}


def test_patterns_of_phones_share_no_permutation():
    made = {name: phones(form) for name, form in WRITINGS.items()}
    for one, other in itertools.combinations(made, 2):
        assert agreeing(made[one], made[other]) <= CHANCE, (one, other)
    for one, other in (
        ("national", "with a 0"),
        ("Italian", "Italian landline"),
        ("national", "extension of 2"),
    ):
        assert phones(WRITINGS[one], FIRST) == phones(WRITINGS[other], FIRST)


@pytest.mark.parametrize(
    "same",
    [
        (
            lambda body: f"+353{body}",
            lambda body: f"00353 {body}",
            lambda b: f"(+353) {b[:4]}-{b[4:]}",
        ),
        (lambda body: f"0{body}", lambda body: f"(0{body[:2]}) {body[2:]}"),
        (lambda body: f"{body[:-2]}x{body[-2:]}", lambda body: f"{body[:-2]} ext. {body[-2:]}"),
    ],
)
def test_one_number_in_several_writings_has_the_same_digits(same):
    assert len({tuple(phones(form)) for form in same}) == 1


def ibans(country, pattern, chosen, ciphers=CIPHERS):
    texts = [f"{country}00{written(pattern, each)}" for each in chosen]
    made = column(pa.array(texts), "iban", ciphers)
    assert made.null_count == 0
    return [number_of(each[4:]) for each in made.to_pylist()]


def test_patterns_of_ibans_share_no_permutation():
    patterns = ("A00000000000000000", "0A0000000000000000", "00000000000000000A")
    chosen = numbers(patterns)
    made = [ibans(country, each, chosen) for country in ("FR", "MT") for each in patterns]
    for one, other in itertools.combinations(made, 2):
        assert agreeing(one, other) <= CHANCE
    assert len({tuple(ibans("FR", each, chosen, FIRST)) for each in patterns}) == 1
    capitals = column(pa.array(["GB00NWBK60161331926819", "gb00nwbk60161331926819"]), "iban", CIPHERS)
    assert len({each.upper() for each in capitals.to_pylist()}) == 1


def test_cards_of_two_issuers_share_no_permutation():
    made = []
    for issuer in ("411111", "411112", "550000"):
        cards = column(pa.array([f"{issuer}{body}" for body in bodies()]), "card", CIPHERS)
        made.append([each[6:15] for each in cards.to_pylist()])
    for one, other in itertools.combinations(made, 2):
        assert agreeing(one, other) <= CHANCE


@given(pairs(), pairs())
@settings(max_examples=60, deadline=None)
def test_neighbours_in_a_column_make_no_difference(some, others):
    """Rows of one shape and of many patterns, which go through the cipher together."""
    texts = [written(each, 4_711_471) for each in (*some, *others, *some)]
    alone = [column(pa.array([each]), "code", CIPHERS)[0].as_py() for each in texts]
    assert column(pa.array(texts), "code", CIPHERS).to_pylist() == alone
    assert column(pa.array(alone), "code", CIPHERS, inverse=True).to_pylist() == texts


# -- kinds and methods -------------------------------------------------------------------------------------

DOMAIN = Domain("ACME Ltd", "analytics", 1)
FACTS = {"domain": DOMAIN, "identity_space": "shop.customers.id"}


def of_kind(kind, texts, derivation=DERIVATIONS[-1], method="ff1"):
    secret = EpochSecret(KEY, derivation)
    return pseudonymise(pa.array(texts), method=method, kind=kind, secret=secret, **FACTS).to_pylist()


@pytest.mark.parametrize("pair", list(itertools.combinations(sorted(FF1_KINDS), 2)), ids="-".join)
def test_two_kinds_share_no_permutation(pair):
    texts = [f"4{each}12345" for each in bodies()]
    if "iban" in pair:
        texts = [f"DE00{each}00000000" for each in bodies()]
    one, other = (of_kind(each, texts) for each in pair)
    assert agreeing(one, other) <= (VALUES if one[0] is None is other[0] else CHANCE)


def test_kinds_shared_one_before():
    texts = bodies()
    assert len({tuple(of_kind(each, texts, 1)) for each in ("code", "key", "number", "national_id")}) == 1
    assert len({tuple(of_kind(each, texts)) for each in ("code", "key", "number", "national_id")}) == 4


def test_no_two_keys_are_the_same():
    """Of any method, kind, type, space, epoch or derivation, whole or cut to the length of the shorter."""
    keys = []
    for derivation in DERIVATIONS:
        secret = EpochSecret(KEY, derivation)
        for domain in (DOMAIN, Domain("ACME Ltd", "analytics", 2), Domain("ACME", "Ltd analytics", 1)):
            keys.append(bytes.fromhex(key_id(secret, domain)))
            for space in ("s", "", "cmac", "key-id"):
                keys += [derive_key(secret, domain, space, each) for each in PSEUDONYM_TYPES]
                keys.append(method_key(secret, domain, space, "siv", "", 64))
                kinds = FF1_KINDS if derivation > 1 else ["code"]  # all kinds had one
                keys += [method_key(secret, domain, space, "ff1", each, 32) for each in kinds]
    assert len({each[:16] for each in keys}) == len(keys)


def test_a_secret_is_never_printed():
    shown = repr(EpochSecret(KEY, 2)) + str(EpochSecret(KEY, 2))
    assert KEY.hex() not in shown
    assert repr(KEY)[2:-1] not in shown
