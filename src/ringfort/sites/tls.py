"""Makes a certificate authority and one server certificate, for a site and for the gateway.

ECDSA P-256, SHA-256. The authority signs one certificate and its key is thrown away at once, so `ca.pem`
can be trusted by clients without anybody being able to sign another; when the certificate nears its end
both are made anew. Leaves out certificates from elsewhere: `gateway.tls_certificate` names those. RFC 5280.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfort.private_files import read_private, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ringfort.paths import Account

VALID = timedelta(days=730)
RENEW = timedelta(days=180)
_SKEW = timedelta(hours=1)


def ensure_tls(
    folder: Path, names: Sequence[str], *, now: datetime | None = None, account: Account | None = None
) -> None:
    """See that `folder` holds `ca.pem`, `server.pem` and `server.key` for `names` (DNS names, IP addresses).

    What is there stays if it names the same and is valid for half a year more; `account` gets the files.
    """
    now = now or datetime.now(UTC)
    if not _good(folder, names, now, account):
        make_tls(folder, names, now=now, account=account)


def make_tls(folder: Path, names: Sequence[str], *, now: datetime, account: Account | None = None) -> None:
    """Write a new authority and server certificate into `folder`; the certificate last, so it is the mark."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name(f"Ringfort authority {os.urandom(4).hex()}")
    ca = (
        _builder(ca_name, ca_name, ca_key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        _builder(_name(names[0]), ca_name, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").unlink(missing_ok=True)
    write_private(folder / "server.key", private, account=account)
    write_private(folder / "ca.pem", ca.public_bytes(serialization.Encoding.PEM), account=account)
    write_private(folder / "server.pem", server.public_bytes(serialization.Encoding.PEM), account=account)


def _good(folder: Path, names: Sequence[str], now: datetime, account: Account | None) -> bool:
    secret = folder / "server.key"
    private = read_private(secret, None if account is None else account.uid) if secret.exists() else b""
    try:
        server = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
        ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key(private, None)
        server.verify_directly_issued_by(ca)
        extension = server.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except Exception:  # noqa: BLE001 - whatever is wrong with the files, they are made anew
        return False
    return (
        key.public_key() == server.public_key()
        and list(extension.value) == [_general_name(each) for each in names]
        and server.not_valid_before_utc <= now <= server.not_valid_after_utc - RENEW
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + VALID)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
