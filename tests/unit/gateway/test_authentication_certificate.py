"""Names in certificates, as credentials have them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfort.gateway.authentication_certificate import certificate_country, certificate_names, credential

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.now(UTC)


def certificate(subject, names=()):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, text) for oid, text in subject]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def test_every_name_is_found():
    made = certificate(
        [(NameOID.COMMON_NAME, "Aoife Ní Bhriain"), (NameOID.COUNTRY_NAME, "IE")],
        [
            x509.DNSName("ETL.Shop.example"),
            x509.RFC822Name("Aoife@Shop.example"),
            x509.UniformResourceIdentifier("spiffe://shop/etl"),
        ],
    )
    assert certificate_names(made) == {
        "cn:Aoife Ní Bhriain",
        "san:dns:etl.shop.example",
        "san:email:Aoife@shop.example",
        "san:uri:spiffe://shop/etl",
    }
    assert certificate_country(made) == "IE"


def test_two_common_names_are_none():
    made = certificate([(NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b")])
    assert certificate_names(made) == frozenset()


@pytest.mark.parametrize("countries", [[], ["IE", "US"], ["ie"]])
def test_a_country_that_is_none(countries):
    made = certificate([(NameOID.COMMON_NAME, "a"), *((NameOID.COUNTRY_NAME, each) for each in countries)])
    assert certificate_country(made) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cn:ann", "cn:ann"),
        ("cn:a:b", "cn:a:b"),
        ("cn:Ann of Cork", "cn:Ann of Cork"),
        ("san:dns:A.B", "san:dns:a.b"),
        ("san:email:A@B.C", "san:email:A@b.c"),
        ("san:uri:spiffe://A/b:c", "san:uri:spiffe://A/b:c"),
        ("san:email:a", ""),
        ("san:email:@b", ""),
        ("san:email:a@", ""),
        ("san:ip:1", ""),
        ("ann", ""),
        ("cn:", ""),
        ("CN:ann", ""),
        ("cn:a\0b", ""),
        ("cn:a\nb", ""),
        ("cn:a\u202eb", ""),
        ("cn:" + "x" * 600, ""),
        ("", ""),
    ],
)
def test_credentials(text, expected):
    assert credential(text) == expected


def test_a_name_cannot_be_smuggled_from_one_kind_into_another():
    made = certificate([(NameOID.COMMON_NAME, "x\nsan:email:a@b.c")], [x509.DNSName("cn:ann")])
    assert not {"cn:ann", "san:email:a@b.c"} & certificate_names(made)
