"""What a client's certificate says: its names, and the country in its subject.

The certificate was verified in the handshake (chain, dates, purpose). Names are written as the ledger's
credentials have them, so that comparing is equality of texts:

    cn:NAME              the subject's common name, if there is exactly one
    san:dns:NAME         lower case
    san:email:ADDRESS    the part behind the @ in lower case
    san:uri:URI          as it stands

Left out: revocation lists. Who loses a certificate has the credential removed from the ledger.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUBJECT = re.compile(r"(cn|san:dns|san:email|san:uri):([!-~]|[^\x00-\x7f]| (?! ))+")
_COUNTRY = re.compile(r"[A-Z]{2}")
MOST = 512


def credential(text: str) -> str:
    """A credential's subject as it is compared; "" if it is none."""
    if len(text) > MOST or not _SUBJECT.fullmatch(text) or not text.isprintable():
        return ""
    kind, _, name = text.rpartition(":") if not text.startswith(("cn:", "san:uri:")) else _split(text)
    if kind == "san:dns":
        return f"san:dns:{name.lower()}"
    if kind == "san:email":
        local, at, domain = name.rpartition("@")
        return f"san:email:{local}@{domain.lower()}" if at and local and domain else ""
    return text


def _split(text: str) -> tuple[str, str, str]:
    kind = "cn" if text.startswith("cn:") else "san:uri"
    return kind, ":", text[len(kind) + 1 :]


def certificate_names(certificate: x509.Certificate) -> frozenset[str]:
    """Every name that the certificate carries."""
    found = [f"cn:{each}" for each in _attributes(certificate, NameOID.COMMON_NAME)]
    if len(found) > 1:
        found = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return _credentials(found)
    found += [f"san:dns:{each}" for each in names.get_values_for_type(x509.DNSName)]
    found += [f"san:email:{each}" for each in names.get_values_for_type(x509.RFC822Name)]
    found += [f"san:uri:{each}" for each in names.get_values_for_type(x509.UniformResourceIdentifier)]
    return _credentials(found)


def certificate_country(certificate: x509.Certificate) -> str:
    """The country in the subject, "" if there is none or more than one."""
    found = _attributes(certificate, NameOID.COUNTRY_NAME)
    return found[0] if len(found) == 1 and _COUNTRY.fullmatch(found[0]) else ""


def _attributes(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [
        each.value for each in certificate.subject.get_attributes_for_oid(oid) if isinstance(each.value, str)
    ]


def _credentials(found: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(None, map(credential, found)))


__all__ = ["certificate_country", "certificate_names", "credential"]
