"""A key-encryption key in a token, against SoftHSM2: made there, never out of there, named when away."""

import base64
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ringfort.config import KeysConfig
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import write_private
from ringfort.sites.custody import Custody, CustodySettings

pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
SECRET = bytes(range(32))
PIN, SO_PIN = "a pin: 4321", "security officer"


@pytest.fixture(scope="module")
def module():
    found = next((each for each in LIBRARIES if Path(each).exists()), None)
    if found is None or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed: `apt-get install softhsm2`")
    return found


@pytest.fixture(scope="module")
def tokens(module, tmp_path_factory):
    """A folder of tokens. The library reads its configuration once in a process: here, for this module."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    for label in ("ringfort", "locked"):
        command = ["softhsm2-util", "--init-token", "--free", "--label", label]
        subprocess.run([*command, "--so-pin", SO_PIN, "--pin", PIN], check=True, capture_output=True)
    yield folder
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture
def settings(module, tokens, tmp_path):
    (tmp_path / "secrets" / "domains").mkdir(parents=True)
    write_private(tmp_path / "pin", f"{PIN}\n".encode())
    keys = KeysConfig(
        store="pkcs11",
        module=module,
        token="ringfort",
        key_label=f"kek of {tmp_path.name}",
        pin_file=str(tmp_path / "pin"),
        kek_file=str(tmp_path / "kek.key"),
    )
    return CustodySettings(tmp_path / "secrets", keys)


@pytest.fixture
def custody(settings):
    made = Custody(settings)
    assert made.make_current()
    assert not made.make_current()
    return made


def changed(settings, **keys):
    return Custody(dataclasses.replace(settings, keys=dataclasses.replace(settings.keys, **keys)))


def test_secrets_are_wrapped_by_the_token(custody, settings):
    custody.create("domains/a.key", SECRET)
    stored = (settings.secrets / "domains" / "a.key").read_bytes()
    assert stored.startswith(b"ringfort-wrapped/1 pkcs11:")
    assert base64.b64encode(SECRET)[:20] not in stored
    assert Custody(settings).get("domains/a.key") == SECRET
    write_private(settings.secrets / "domains" / "b.key", stored)
    with pytest.raises(MissingEnvironmentError, match="another name"):
        custody.get("domains/b.key")
    form, kek, data = stored.split()
    raw = bytearray(base64.b64decode(data))
    raw[20] ^= 1
    write_private(settings.secrets / "domains" / "a.key", b" ".join((form, kek, base64.b64encode(raw))))
    with pytest.raises(MissingEnvironmentError):
        custody.get("domains/a.key")


def test_the_key_does_not_leave_the_token(custody, settings):
    token = pkcs11.lib(settings.keys.module).get_token(token_label="ringfort")
    with token.open(user_pin=PIN) as session:
        key = session.get_key(label=settings.keys.key_label)
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        assert key[pkcs11.Attribute.SENSITIVE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        assert key[pkcs11.Attribute.LOCAL]
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]
    with token.open() as session, pytest.raises(pkcs11.exceptions.PKCS11Error):  # without a PIN there is none
        session.get_key(label=settings.keys.key_label)


def test_a_key_that_could_be_read_out_is_refused(settings, tmp_path):
    token = pkcs11.lib(settings.keys.module).get_token(token_label="ringfort")
    with token.open(rw=True, user_pin=PIN) as session:
        session.generate_key(
            pkcs11.KeyType.AES,
            256,
            label="open",
            store=True,
            template={pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False},
        )
    with pytest.raises(MissingEnvironmentError, match="could be read out"):
        _ = changed(settings, key_label="open").current


def test_secrets_move_from_a_file_to_the_token_and_back(custody, settings):
    first = changed(settings, store="file")
    first.make_current()
    first.create("root.key", SECRET)
    first.create("domains/a.key", SECRET[::-1])
    assert custody.get("root.key") == SECRET  # both stores can be open
    assert custody.rewrap().moved == ("root.key", "domains/a.key")
    Path(settings.keys.kek_file).unlink()
    there = Custody(settings)
    assert (there.get("root.key"), there.get("domains/a.key")) == (SECRET, SECRET[::-1])
    assert {each.kek for each in there.status()} == {custody.current.id}
    back = changed(settings, store="file")
    back.make_current()
    assert len(back.rewrap().moved) == 2
    assert all(each.kek.startswith("file:") for each in back.status())
    assert back.get("root.key") == SECRET


def test_secrets_move_to_a_key_of_another_label_in_the_token(custody, settings):
    custody.create("root.key", SECRET)
    other = changed(settings, key_label=f"{settings.keys.key_label} 2")
    assert other.get("root.key") == SECRET  # the key before is found by its id, whatever its label
    with pytest.raises(UsageError, match="in a token") as error:
        other.make_next()
    assert "key_label" in error.value.hint
    assert other.make_current()
    assert other.current.id != custody.current.id
    assert other.rewrap().moved == ("root.key",)
    assert {each.kek for each in other.status()} == {other.current.id}
    assert Custody(other.settings).get("root.key") == SECRET
    assert custody.get("root.key") == SECRET  # a process with the configuration of before opens it, too


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"token": "elsewhere"}, "there is no token `elsewhere`"),
        ({"module": "/nowhere/lib.so"}, "there is no PKCS#11 library"),
        ({"module": __file__}, "is not a PKCS#11 library"),
        ({"key_label": "nothing"}, "holds no key `nothing`"),
    ],
)
def test_what_is_missing_is_named(settings, keys, words):
    with pytest.raises(MissingEnvironmentError, match=words) as error:
        _ = changed(settings, **keys).current
    assert error.value.hint
    assert PIN not in error.value.message + error.value.hint


def test_a_wrong_a_missing_and_an_open_pin(custody, settings):
    pin = Path(settings.keys.pin_file)
    custody.create("domains/a.key", SECRET)
    write_private(pin, b"wrong pin")
    with pytest.raises(MissingEnvironmentError, match="refuses the PIN") as error:
        custody.get("domains/a.key")
    assert "wrong pin" not in error.value.message + error.value.hint
    write_private(pin, b"\n")
    with pytest.raises(UsageError, match="holds no PIN"):
        custody.get("domains/a.key")
    write_private(pin, PIN.encode())
    pin.chmod(0o644)
    with pytest.raises(MissingEnvironmentError, match="open to others"):
        custody.get("domains/a.key")
    pin.chmod(0o600)
    assert custody.get("domains/a.key") == SECRET  # the token is back, and nothing was restarted


def test_the_key_of_another_token_opens_nothing(custody, settings):
    custody.create("domains/a.key", SECRET)
    other = changed(settings, token="locked")
    other.make_current()
    with pytest.raises(MissingEnvironmentError, match="which is not here"):
        other.get("domains/a.key")


def test_a_locked_pin_is_said_to_be_locked(settings):
    from ringfort.sites.pkcs11 import _in_words

    for name, words in (("PinLocked", "locked"), ("DeviceError", "failed with DeviceError")):
        error = _in_words(getattr(pkcs11.exceptions, name)(), settings.keys)
        assert words in error.message  # SoftHSM2 never locks a PIN, so this much is without a token
