"""Commands that only read need no key, and every secret that others may read is refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from tests.live_deployment import SITE

from ringfort.cli.application import run
from ringfort.cli.principal import register
from ringfort.config import load_config
from ringfort.errors import MissingEnvironmentError
from ringfort.gateway.activation import activate
from ringfort.ledger.entry_control import PrincipalRegistered
from ringfort.private_files import read_private
from ringfort.record.client import open_ledger
from ringfort.sites.custody import Custody, CustodySettings
from ringfort.sites.deployment import Deployment, Plan
from ringfort.sites.domains import DomainStore

NOW = "2026-11-21T12:00:00.000000Z"
CATALOGUE = """\
[dataset.shop]
database = "demo"
subject = "customers.id"
[dataset.shop.table.customers]
schema = "public"
primary_key = ["id"]
[dataset.shop.table.customers.column]
id = { type = "bigint", protection = "interoperable", identifiability = "direct", kind = "key" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading") / "shop"
    made = Deployment(folder, Plan("Shop", SITE))
    made.begin()
    made.finish(CATALOGUE)
    with open_ledger(folder) as ledger:
        activate(load_config(folder), ledger)
        facts = {"country": "IE", "employer": "Example", "role": "operator"}
        register(ledger, folder, PrincipalRegistered(time=NOW, actor="a", name="olga", **facts), "secret")
        DomainStore.of(load_config(folder)).ensure(ledger, "ACME Inc", "analytics")
    return folder


def ringfort(*arguments, stdin=""):
    """As somebody whom file modes bind: root is made to obey them."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*bound, sys.executable, "-m", "ringfort.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        input=stdin,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


READING = [
    ("principal", "list", "DIR", "--json"),
    ("grants", "DIR", "--json"),
    ("domain", "list", "DIR", "--json"),
    ("transfer", "list", "DIR", "--json"),
    ("policy", "check", "DIR"),
    ("policy", "explain", "DIR", "--as", "olga"),
    ("ledger", "show", "DIR", "--json"),
    ("ledger", "vkey", "DIR"),
]


@pytest.mark.parametrize("command", READING, ids=lambda each: " ".join(each[:2]))
def test_what_only_reads_needs_no_secret(folder, command):
    line = [str(folder) if each == "DIR" else each for each in command]
    before = ringfort(*line)
    assert before[0] == 0, before[2]
    secrets = folder / "secrets"
    secrets.chmod(0)
    try:
        code, out, said = ringfort(*line)
    finally:
        secrets.chmod(0o700)
    assert (code, out) == before[:2]
    if "check" in command:  # it says why it did not look at the database, and goes on
        assert "may not read its connection string" in said
    else:
        assert said == before[2]


def test_what_only_reads_makes_nothing(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "ringfort.toml").write_text(
        'organisation = "Example"\n[ledger]\norigin = "ledger.example/shop"\n'
    )
    for command in (("principal", "list"), ("grants",), ("domain", "list"), ("transfer", "list")):
        code, _, err = ringfort(*command, folder)
        assert code == 0, err
    assert [each.name for each in folder.rglob("*")] == ["ringfort.toml"]


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (("keys", "status", "DIR"), "secrets"),
        (("keys", "status", "DIR"), "secrets/domains"),
        (("keys", "status", "DIR"), "secrets/root.key"),
        (("canary", "list", "DIR"), "secrets"),
        (("canary", "list", "DIR"), "secrets/canaries"),
        (("canary", "show", "DIR", "0123456789ab"), "secrets"),
        (("transfer", "list", "DIR"), "state/ledger"),
        (("principal", "list", "DIR"), "state"),
    ],
)
def test_what_needs_a_secret_says_which_file(folder, command, place):
    (folder / "secrets" / "canaries").mkdir(mode=0o700, exist_ok=True)
    closed = folder / place
    mode = closed.stat().st_mode
    closed.chmod(0)
    try:
        code, output, errors = ringfort(*(folder if each == "DIR" else each for each in command))
    finally:
        closed.chmod(mode)
    assert (code, output) == (3, ""), errors
    assert str(closed) in errors


SECRETS = {
    "secrets/ledger.key": ("principal", "remove", "DIR", "nobody"),
    "secrets/evidence.key": ("principal", "remove", "DIR", "nobody"),
    "secrets/root.key": ("keys", "status", "DIR"),
    "secrets/domains/ID.key": ("keys", "status", "DIR"),
    "secrets/scram/olga.json": (
        "request",
        "DIR",
        "--as",
        "olga",
        "--password-stdin",
        "--canary",
        "--for",
        "1m",
    ),
}


@pytest.mark.parametrize("name", list(SECRETS))
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700])
def test_a_secret_that_is_open_to_others_is_refused_with_what_to_run(folder, capsys, monkeypatch, name, mode):
    path = next(folder.glob(name.replace("ID", "*")))
    path.chmod(mode)
    try:
        code, _, errors = ringfort(
            *(folder if each == "DIR" else each for each in SECRETS[name]), stdin="secret\n"
        )
    finally:
        path.chmod(0o600)
    assert code == 3, errors
    assert f"the secret `{path}` is open to others: its mode is {mode:04o}" in errors
    assert f"run `chmod 600 {path}`" in errors


@pytest.mark.parametrize("name", ["secrets/ledger.key", "secrets/root.key"])
def test_a_secret_that_is_a_link_is_refused(folder, name):
    path = folder / name
    elsewhere = path.with_suffix(".moved")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    try:
        with pytest.raises(MissingEnvironmentError, match="is a link"):
            read_private(path)
        code, _, errors = ringfort("principal", "remove", folder, "nobody")
        assert (code, "is a link" in errors) == ((3, True) if "ledger" in name else (2, False)), errors
    finally:
        path.unlink()
        elsewhere.rename(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_secret_of_somebody_else_is_refused(folder):
    path = folder / "secrets" / "ledger.key"
    os.chown(path, 65_534, -1)
    try:
        with pytest.raises(MissingEnvironmentError, match=r"belongs to `?[a-z0-9]+`?, not to") as caught:
            read_private(path)
        assert "chown" in caught.value.hint
        with pytest.raises(MissingEnvironmentError), open_ledger(folder):
            pass
    finally:
        os.chown(path, os.geteuid(), -1)


def test_a_key_of_tls_that_others_may_read_is_refused(tmp_path):
    from ringfort.gateway.settings import Tls
    from ringfort.gateway.tls_server import ServerTls
    from ringfort.sites.tls import ensure_tls

    tmp_path.chmod(0o700)
    ensure_tls(tmp_path, ("localhost",))
    files = Tls("required", str(tmp_path / "server.pem"), str(tmp_path / "server.key"))
    ServerTls(files, "")
    key = (tmp_path / "server.key").read_bytes()
    (tmp_path / "server.key").chmod(0o640)
    with pytest.raises(MissingEnvironmentError, match="open to others"):
        ServerTls(files, "")
    with pytest.raises(MissingEnvironmentError, match="open to others"):
        ensure_tls(tmp_path, ("localhost",))
    assert (tmp_path / "server.key").read_bytes() == key


def test_the_pin_of_a_token_and_the_key_encryption_key_are_secrets_too(folder):
    kek = folder / "secrets" / "kek.key"
    assert len(base64.b64decode(kek.read_bytes())) == 32
    kek.chmod(0o640)
    try:
        with pytest.raises(MissingEnvironmentError, match="open to others"):
            Custody(CustodySettings.of(load_config(folder))).get("root.key")
    finally:
        kek.chmod(0o600)
    code = run(["keys", "status", str(folder), "--json"])
    assert code == 0
    assert json.dumps(kek.name)
