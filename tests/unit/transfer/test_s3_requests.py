"""Signatures of requests to a store: Amazon's published examples, and botocore as another implementation."""

from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from ringfort.transfer.s3_requests import Credentials, found_credentials, signed_headers

NOW = datetime(2013, 5, 24, tzinfo=UTC)
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ({"lifecycle": ""}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            {"max-keys": "2", "prefix": "J"},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_published_examples_have_their_signatures(query, signature):
    """docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, examples without a body."""
    made = signed_headers("GET", HOST, "/", query, credentials=EXAMPLE, region="us-east-1", now=NOW)
    assert made["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/bucket", {"versions": "", "prefix": "out/20261128T000000Z-1a2b3c4d/"}),
        ("/bucket/out/a b%20c+d/part-00000.parquet", {"versionId": "null"}),
        ("/bucket/ü/é~_-.x", {"uploadId": "a+b/c="}),
        ("/bucket", {"uploads": "", "prefix": "", "key-marker": "x y&z", "upload-id-marker": "2"}),
    ],
)
def test_botocore_signs_the_same_requests_alike(path, query, token):
    from urllib.parse import quote

    now = datetime.now(UTC)
    keys = Credentials("access", "secret", token)
    mine = signed_headers(
        "DELETE", "store.example", path, query, credentials=keys, region="eu-west-1", now=now
    )
    url = f"https://store.example{quote(path)}?" + "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
    )
    request = AWSRequest("DELETE", url, headers={"host": "store.example"})
    request.headers["X-Amz-Content-SHA256"] = mine["x-amz-content-sha256"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    request.headers["X-Amz-Date"] = mine["x-amz-date"]
    request.context["timestamp"] = mine["x-amz-date"]
    theirs = S3SigV4Auth(BotoCredentials("access", "secret", token or None), "s3", "eu-west-1")
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert mine["authorization"].endswith(f"Signature={theirs.signature(text, request)}")


def test_credentials_are_found_where_tools_keep_them_and_not_shown(tmp_path):
    kept = tmp_path / "credentials"
    kept.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = s\n[other]\nx = y\n")
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(kept)}
    assert found_credentials(environment) == Credentials("a", "s")
    assert found_credentials(environment | {"AWS_PROFILE": "other"}) is None
    both = {"AWS_ACCESS_KEY_ID": "b", "AWS_SECRET_ACCESS_KEY": "t", "AWS_SESSION_TOKEN": "u"}
    assert found_credentials(environment | both) == Credentials("b", "t", "u")
    assert found_credentials({"HOME": str(tmp_path / "nobody")}) is None
    assert "secret-of-it" not in repr(Credentials("a", "secret-of-it", "secret-of-it"))
