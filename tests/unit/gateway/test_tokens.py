"""Tokens: what is believed and what is not."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks.gate.issuer import AUDIENCE, ISSUER, claims, make_key, published

from ringfort.config import OidcConfig
from ringfort.gateway.tokens import MOST_BYTES, Token, TokenRefusedError, check_token, key_name, read_keys

NOW = int(time.time())
RULES = OidcConfig(ISSUER, AUDIENCE, "https://x", country_claim="country")
PRIVATE = {each: make_key(each) for each in ("RS256", "ES256", "EdDSA")}
SET = json.dumps({"keys": [published(key, each, each) for each, key in PRIVATE.items()]}).encode()
KEYS = read_keys(SET)


def sign(algorithm="ES256", *, headers=None, **changes):
    given = claims(**{"iat": NOW, "exp": NOW + 300} | changes)
    return jwt.encode(given, PRIVATE[algorithm], algorithm, headers={"kid": algorithm, **(headers or {})})


def check(token, rules=RULES, now=NOW):
    return check_token(token, KEYS[key_name(token)], rules, now)


def refused(token, **more):
    with pytest.raises(TokenRefusedError) as error:
        check(token, **more)
    return error.value.reason


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_each_algorithm(algorithm):
    assert check(sign(algorithm, country="IE")) == Token("alice-4711", "IE", NOW + 360)


@pytest.mark.parametrize("country", [None, "", "ie", "IRL", 7, ["IE"]])
def test_a_country_that_is_none_is_unproven(country):
    assert check(sign(country=country)).country == ""


def test_one_of_several_audiences_and_another_claim_for_the_principal():
    rules = OidcConfig(ISSUER, AUDIENCE, "https://x", principal_claim="email")
    token = sign(aud=["other", AUDIENCE], email="a@b.c", country="IE")
    assert check(token, rules=rules) == Token("a@b.c", "", NOW + 360)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": None}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"aud": None}, "audience"),
        ({"aud": "other"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"exp": None}, "no exp"),
        ({"exp": "9999999999"}, "no exp"),
        ({"exp": True}, "no exp"),
        ({"iat": None}, "no iat"),
        ({"exp": NOW - 61}, "expired"),
        ({"iat": NOW + 120}, "issued in the future"),
        ({"nbf": NOW + 120}, "not valid yet"),
        ({"nbf": "x"}, "no nbf"),
        ({"exp": NOW + 86_401, "iat": NOW}, "lifetime"),
        ({"exp": NOW + 10, "iat": NOW + 20}, "lifetime"),
        ({"exp": float("1e300")}, "no exp"),
        ({"exp": 10**60}, "no exp"),
        ({"exp": -1}, "no exp"),
        ({"exp": [NOW]}, "no exp"),
        ({"exp": 10**400}, "malformed"),
        ({"iat": -(10**400)}, "malformed"),
        ({"nbf": 10**400}, "malformed"),
        ({"elsewhere": {"deep": 10**400}}, "malformed"),
        ({"sub": None}, "no principal named"),
        ({"sub": ""}, "no principal named"),
        ({"sub": ["alice-4711"]}, "no principal named"),
    ],
)
def test_claims_that_do_not_hold(changes, reason):
    assert refused(sign(**changes), now=NOW) == f"token: {reason}"


def test_infinity_is_no_time():
    for value in ("Infinity", "-Infinity", "NaN", "1e400", "-1e400"):
        text = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {value}').encode()
        token = jwt.api_jws.encode(text, PRIVATE["ES256"], "ES256", headers={"kid": "ES256"})
        assert refused(token) in {"token: no exp", "token: malformed"}


def raw(claims_text, headers=None):
    given = {"kid": "ES256", **(headers or {})}
    return jwt.api_jws.encode(claims_text.encode(), PRIVATE["ES256"], "ES256", headers=given)


@pytest.mark.parametrize(
    "text",
    [
        "[]", "7", "null", '""', "{", "", "[" * 5_000 + "]" * 5_000, '{"a":' * 100 + "1" + "}" * 100,
        '{"sub": "bob", "sub": "alice-4711"}', '{"exp": 1' + "0" * 4_000 + "}", '{"a": "\\ud800"}',
    ],
)  # fmt: skip
def test_claims_that_are_odd_are_refused_and_nothing_else(text):
    good = json.dumps(claims(iat=NOW, exp=NOW + 300))
    assert refused(raw(text)).startswith("token: ")
    if text.startswith("{") and text.endswith("}"):
        both = good[:-1] + ", " + text[1:]
        with pytest.raises(TokenRefusedError):
            raise_unless_good(raw(both))


def raise_unless_good(token):
    found = check(token)
    if found.subject == "alice-4711":  # odd, and harmless
        raise TokenRefusedError("harmless")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
CLAIM = st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "sub", "country"])
HEADER = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x5u", "jwk", "x5c", "cty", "zip"])


@given(st.dictionaries(CLAIM, JSON, max_size=3), st.dictionaries(HEADER, JSON, max_size=3))
@settings(max_examples=400, deadline=None)
def test_whatever_a_token_holds_it_is_believed_or_refused(changes, headers):
    """Claims that the issuer did sign, and headers that anybody wrote: no other exception comes out."""
    facts = claims(**{"iat": NOW, "exp": NOW + 300} | {k: v for k, v in changes.items() if v is not None})
    try:
        signed = raw(json.dumps(facts))
    except ValueError:  # a number that Python does not write
        return
    _, payload, signature = signed.split(".")
    header = encode({"alg": "ES256", "kid": "ES256", **headers})
    for token in (signed, f"{header}.{payload}.{signature}"):
        try:
            key_name(token)
            found = check_token(token, KEYS["ES256"], RULES, NOW)
        except TokenRefusedError:
            continue
        assert isinstance(found.subject, str)
        assert found.until > NOW


@pytest.mark.parametrize(
    "kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token", "JWT2", "", " JWT", 7, None, ["JWT"], {}]
)
def test_another_kind_of_token_opens_nothing(kind):
    assert refused(sign(headers={"typ": "x"})) == "token: another kind of token"
    header = encode({"alg": "ES256", "kid": "ES256", "typ": kind})
    with pytest.raises(TokenRefusedError) as error:
        key_name(f"{header}.{encode(claims())}.AAAA")
    assert error.value.reason == "token: another kind of token"


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_kinds_that_do(kind):
    assert check(sign(headers={"typ": kind})).subject == "alice-4711"


def test_what_a_header_brings_along_is_not_read():
    evil = make_key("ES256")
    mine = published(evil, "ES256", "ES256")
    for name, value in (("jwk", mine), ("jku", "https://evil.example"), ("x5u", "https://evil.example")):
        token = jwt.encode(
            claims(iat=NOW, exp=NOW + 300), evil, "ES256", headers={"kid": "ES256", name: value}
        )
        assert refused(token) == "token: signature"
        assert check(sign(headers={name: value})).subject == "alice-4711"
    assert refused(sign(headers={"crit": ["exp"]})) == "token: critical header"
    header = encode({"alg": "ES256", "kid": "ES256", "b64": False})
    assert refused(f"{header}.{encode(claims())}.AAAA") == "token: critical header"


def test_the_skew_is_what_it_is():
    token = sign(iat=NOW, exp=NOW + 100)
    assert check(token, now=NOW + 159)
    assert refused(token, now=NOW + 160) == "token: expired"
    assert check(token, now=NOW - 60)
    assert refused(token, now=NOW - 61) == "token: issued in the future"


# -- signatures ---------------------------------------------------------------------------------------


def encode(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def forged(header, signature="AAAA", **changes):
    return f"{encode(header)}.{encode(claims(**changes))}.{signature}"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "nOnE", "HS256", "HS384", "HS512", "RS1", "PS256", "ES512", "", None, 1, []]
)
def test_other_algorithms_are_refused_before_a_key_is_looked_for(algorithm):
    with pytest.raises(TokenRefusedError) as error:
        key_name(forged({"alg": algorithm, "kid": "ES256", "typ": "JWT"}))
    assert error.value.reason in {"token: algorithm", "token: malformed"}


def test_a_published_key_is_no_secret():
    """CVE-2016-10555 class: HMAC with the public key as its secret."""
    import hashlib
    import hmac

    pem = (
        PRIVATE["RS256"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    text = f"{encode({'alg': 'HS256', 'kid': 'RS256'})}.{encode(claims())}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, text.encode(), hashlib.sha256)).rstrip(b"=").decode()
    assert refused(f"{text}.{mac}") == "token: algorithm"


def test_a_key_is_used_with_its_own_algorithm_only():
    for claimed in ("RS256", "ES256", "EdDSA"):
        for named in KEYS:
            if claimed != named:
                token = jwt.encode(claims(), PRIVATE[claimed], claimed, headers={"kid": named})
                assert refused(token) == "token: signature"


def test_keys_and_addresses_in_the_header_are_not_read():
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = published(own, "ES256", "ES256")
    for headers in ({"jwk": jwk}, {"jku": "https://evil.example"}, {"x5u": "https://evil.example"}):
        token = jwt.encode(claims(), own, "ES256", headers={"kid": "ES256", **headers})
        assert refused(token) == "token: signature"


def test_a_changed_token():
    head, body, signature = sign().split(".")
    other = encode(claims(sub="bob"))
    assert refused(f"{head}.{other}.{signature}") == "token: signature"
    assert refused(f"{head}.{body}.{signature[:-4]}AAAA") == "token: signature"
    assert refused(f"{head}.{body}.AA") == "token: signature"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "a.b.",
        "..",
        "!.b.c",
        "correct horse",
        "ey.ey.ey",
        "é.b.c",
        "W10.W10.W10",
        "x" * (MOST_BYTES + 1),
        f"{'A' * 6000}.{'A' * 6000}.{'A' * 6000}",
    ],
)
def test_what_is_no_token(token):
    with pytest.raises(TokenRefusedError) as error:
        key_name(token)
    assert error.value.reason == "token: malformed"


@pytest.mark.parametrize("headers", [{"kid": ""}, {"crit": ["exp"]}, {"crit": ["b64"], "b64": False}])
def test_headers_that_demand_something_or_name_no_key(headers):
    with pytest.raises(TokenRefusedError):
        key_name(forged({"alg": "ES256", "kid": "ES256", **headers}))
    with pytest.raises(TokenRefusedError):
        key_name(forged({"alg": "ES256"}))


# -- keys ---------------------------------------------------------------------------------------------


def private_jwk():
    made = jwt.get_algorithm_by_name("ES256").to_jwk(PRIVATE["ES256"], as_dict=True)
    return {**made, "kid": "a"}


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"},
        published(make_key("RS256", 1024), "a", "RS256"),
        published(make_key("ES256"), "a", "ES256", use="enc"),
        published(make_key("ES256"), "a", "ES256", alg="HS256"),
        published(make_key("ES256"), "a", "ES256", alg="none"),
        published(make_key("ES256"), "a", "ES256", key_ops=["encrypt"]),
        published(make_key("ES256"), "a", "ES256", x="AAAA"),
        published(make_key("ES256"), "a", "ES256", kid=7),
        published(make_key("ES256"), "a", "ES256", kid=""),
        published(ec.generate_private_key(ec.SECP384R1()), "a", "ES384"),
        published(ed448.Ed448PrivateKey.generate(), "a", "EdDSA"),
        *(  # points of small order: a signature under one holds for texts that nobody signed
            {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": spelled}
            for spelled in (43 * "A", "AQ" + 41 * "A", "7P" + 39 * "_" + "38", "7f" + 39 * "_" + "38")
        ),
        private_jwk(),
        {"kid": "a"},
        "a",
        None,
    ],
    ids=range(19),
)
def test_keys_that_are_not_taken(key):
    assert read_keys(json.dumps({"keys": [key]}).encode()) == {}


def test_a_name_that_is_given_twice_is_none():
    twice = [published(make_key(), "a", "ES256"), published(make_key(), "a", "ES256")]
    assert read_keys(json.dumps({"keys": twice}).encode()) == {}
    assert read_keys(
        json.dumps({"keys": [*twice, twice[0], published(make_key(), "b", "ES256")]}).encode()
    ).keys() == {"b"}


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"keys": {}}', b"\xff", json.dumps({"keys": [{}] * 65}).encode()]
)
def test_what_is_no_set_of_keys(document):
    with pytest.raises(ValueError):
        read_keys(document)


# -- one odd key --------------------------------------------------------------------------------------

GOOD = published(PRIVATE["ES256"], "good", "ES256")
ODD = ["alg", "use", "kty", "crv", "x", "y", "n", "e", "key_ops", "kid", "x5c", "d"]


@given(st.lists(st.dictionaries(st.sampled_from(ODD), JSON, max_size=6) | JSON, max_size=5))
@settings(max_examples=300, deadline=None)
def test_an_odd_key_costs_itself_only(odd):
    try:
        document = json.dumps({"keys": [*odd, GOOD]}).encode()
    except ValueError:
        return
    named = any(isinstance(each, dict) and each.get("kid") == "good" for each in odd)
    assert ("good" in read_keys(document)) != named


@pytest.mark.parametrize(
    "text",
    [
        '{"alg": []}', '{"alg": ["ES256"], "kid": "a", "kty": "EC", "crv": "P-256"}',
        '{"kid": "a", "n": NaN}', '{"kid": "a", "n": 1e400}', '{"kid": "a", "n": 1' + "0" * 5_000 + "}",
        '{"kid": "a", "kid": "b"}', '{"a": ' * 3_000 + "1" + "}" * 3_000, "[" * 3_000 + "]" * 3_000, "null",
        '"text with ] and } in it"', '{"kid": "\\"}]"}',
    ],
)  # fmt: skip
def test_an_odd_text_of_a_key_costs_itself_only(text):
    document = f'{{"keys": [{text}, {json.dumps(GOOD)}]}}'.encode()
    assert "good" in read_keys(document)
    assert "good" in read_keys(f'{{"keys": [{json.dumps(GOOD)}, {text}]}}'.encode())
