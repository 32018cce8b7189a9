"""What a client binds its password to: `tls-server-end-point`, RFC 5929 section 4.1.

The hash of the certificate by the hash of its signature, SHA-256 instead of MD5 and SHA-1; none for
signatures without a hash of their own (Ed25519), with which channel binding cannot be offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

if TYPE_CHECKING:
    from cryptography import x509


def server_end_point(certificate: x509.Certificate) -> bytes:
    """The `tls-server-end-point` binding of a certificate, b"" if it has none."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:
        return b""
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)
