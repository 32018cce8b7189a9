"""The few calls of S3 that pyarrow does not make: versions and unfinished uploads, listed and removed.

Removing an object of a bucket with versions only hides it, and an upload that was cut off stays at the store
with its parts: both are removed by their ids here. Requests are signed by AWS Signature Version 4 over
headers (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html), paths hold the bucket.
Invariants: TLS, but to this machine; every answer and wait is bounded; no key, signature or answer of the
store is in an error. Left out: credentials of an instance's role.
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
import http.client
import os
import re
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree as ET

from ringfort.errors import MissingEnvironmentError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS = 60.0
MOST_BYTES = 16 << 20
"""Of one answer: a page lists at most 1,000 keys of 1,024 bytes."""
MOST_PAGES = 10_000
_EMPTY = hashlib.sha256(b"").hexdigest()
_NAMESPACE = re.compile(r"^\{[^}]*\}")


@dataclass(frozen=True)
class Credentials:
    """An access key, its secret, and the token of a session that they are of."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Stored:
    """A version of an object, or an unfinished upload of one: its key, and the id that it is removed by."""

    key: str
    id: str


def found_credentials(environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """Those of the environment, else of a profile in `~/.aws/credentials`; None if there are none."""
    access, secret = (environment.get(f"AWS_{each}", "") for each in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if access and secret:
        return Credentials(access, secret, environment.get("AWS_SESSION_TOKEN", ""))
    home = Path(environment.get("HOME", "/nonexistent"))
    path = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
        section = parser[environment.get("AWS_PROFILE") or "default"]
        return Credentials(
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            section.get("aws_session_token", ""),
        )
    except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
        return None


def signed_headers(
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """The headers of a request without a body, its signature among them; `path` is not yet quoted."""
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join((method, quote(path), _query(query), listed, names, _EMPTY))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = b"AWS4" + credentials.secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    who = f"Credential={credentials.access}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {who},SignedHeaders={names},Signature={signature}"
    return headers


class S3Requests:
    """One bucket of a store; `endpoint` is "" for Amazon's."""

    def __init__(self, bucket: str, endpoint: str, region: str, credentials: Credentials) -> None:
        self._bucket = bucket
        self._region = region
        self._credentials = credentials
        scheme, _, host = (endpoint or f"https://s3.{region}.amazonaws.com").rpartition("://")
        self._host = host.rstrip("/")
        self._tls = scheme != "http"

    def versions(self, prefix: str) -> list[Stored]:
        """Every version of every object below a prefix, delete markers among them."""
        return self._listed("versions", prefix, ("Version", "DeleteMarker"), "VersionId", "version-id-marker")

    def uploads(self, prefix: str) -> list[Stored]:
        """Every upload below a prefix that was begun and not finished."""
        return self._listed("uploads", prefix, ("Upload",), "UploadId", "upload-id-marker")

    def delete(self, version: Stored) -> None:
        """Remove a version for good."""
        self._ask("DELETE", version.key, {"versionId": version.id})

    def abort(self, upload: Stored) -> None:
        """Remove an unfinished upload with its parts."""
        self._ask("DELETE", upload.key, {"uploadId": upload.id})

    def _listed(
        self, what: str, prefix: str, kinds: tuple[str, ...], id_name: str, marker: str
    ) -> list[Stored]:
        found: list[Stored] = []
        query = {what: "", "prefix": prefix}
        for _ in range(MOST_PAGES):
            body = self._ask("GET", "", query)
            if not body:
                return found  # there is no such bucket
            page = _parsed(body)
            if page is None:
                raise self._refused("its answer cannot be read")
            found += [
                Stored(_text(each, "Key"), _text(each, id_name)) for each in page if _name(each) in kinds
            ]
            if _text(page, "IsTruncated") != "true":
                return found
            after = {
                "key-marker": _text(page, "NextKeyMarker"),
                marker: _text(page, "".join(map(str.capitalize, f"next-{marker}".split("-")))),
            }
            if not after["key-marker"] or after.items() <= query.items():
                raise self._refused("its list does not end")
            query |= after
        raise self._refused("its list does not end")

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> bytes:
        """The answer's body, empty where what is asked about is not there (any more)."""
        path = f"/{self._bucket}/{key}" if key else f"/{self._bucket}"
        headers = signed_headers(
            method, self._host, path, query,
            credentials=self._credentials, region=self._region, now=datetime.now(UTC),
        )  # fmt: skip
        connection = (
            http.client.HTTPSConnection(
                self._host, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
            if self._tls
            else http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        )
        try:
            connection.request(method, f"{quote(path)}?{_query(query)}", headers=headers)
            answer = connection.getresponse()
            body = answer.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException):
            raise self._refused("it does not answer") from None
        finally:
            connection.close()
        if answer.status == http.client.FORBIDDEN:
            raise self._refused("access is denied")
        if answer.status == http.client.NOT_FOUND:
            return b""
        if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES or len(body) > MOST_BYTES:
            raise self._refused("it refuses")
        return body

    def _refused(self, why: str) -> MissingEnvironmentError:
        return MissingEnvironmentError(
            f"`s3://{self._bucket}`: {why}",
            hint="listing and removing versions and uploads takes rights of their own (transfers.md of the"
            " manual)",
        )


def _query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))


def _parsed(body: bytes) -> ET.Element | None:
    """The answer; None for what is no XML, or declares entities, which no answer of a store does."""
    if b"<!" in body:
        return None
    try:
        return ET.fromstring(body)  # noqa: S314 - no declarations, bounded
    except ET.ParseError:
        return None


def _name(element: ET.Element) -> str:
    return _NAMESPACE.sub("", element.tag)


def _text(element: ET.Element, name: str) -> str:
    return next((each.text or "" for each in element if _name(each) == name), "")


__all__ = ["Credentials", "S3Requests", "Stored", "found_credentials", "signed_headers"]
