"""Wrapped secrets: bound to their name and key, moved between keys, never taken in another form."""

import base64
import os
import stat

import pytest

from ringfort.config import KeysConfig
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import write_private
from ringfort.sites.custody import Custody, CustodySettings, Rewrapped
from ringfort.sites.key_encryption import FileKeyEncryptionKey

SECRET = bytes(range(32))


@pytest.fixture
def custody(tmp_path):
    secrets = tmp_path / "secrets"
    (secrets / "domains").mkdir(parents=True)
    made = Custody(CustodySettings(secrets, KeysConfig(kek_file=str(tmp_path / "apart" / "kek.key"))))
    (tmp_path / "apart").mkdir()
    assert made.make_current()
    assert not made.make_current()
    return made


def test_what_is_created_is_got_and_stands_wrapped(custody):
    custody.create("domains/a.key", SECRET)
    path = custody.settings.secrets / "domains" / "a.key"
    assert custody.get("domains/a.key") == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stored = path.read_bytes()
    assert stored.startswith(b"ringfort-wrapped/1 file:")
    assert SECRET not in stored
    assert base64.b64encode(SECRET)[:20] not in stored
    with pytest.raises(UsageError):
        custody.create("domains/a.key", SECRET)


def test_equal_secrets_are_wrapped_differently(custody):
    custody.create("domains/a.key", SECRET)
    custody.create("domains/b.key", SECRET)
    folder = custody.settings.secrets / "domains"
    assert (folder / "a.key").read_bytes() != (folder / "b.key").read_bytes()


def test_a_wrapped_secret_opens_under_no_other_name(custody):
    custody.create("domains/a.key", SECRET)
    folder = custody.settings.secrets / "domains"
    write_private(folder / "b.key", (folder / "a.key").read_bytes())
    with pytest.raises(MissingEnvironmentError, match="another name"):
        custody.get("domains/b.key")


@pytest.mark.parametrize("at", [0, 5, 12, 40, -1])
def test_a_changed_byte_opens_nothing(custody, at):
    custody.create("domains/a.key", SECRET)
    path = custody.settings.secrets / "domains" / "a.key"
    form, kek, data = path.read_text().split()
    raw = bytearray(base64.b64decode(data))
    raw[at] ^= 1
    write_private(path, f"{form} {kek} {base64.b64encode(raw).decode()}\n".encode())
    with pytest.raises(MissingEnvironmentError):
        custody.get("domains/a.key")


def test_another_key_encryption_key_is_named_and_opens_nothing(custody):
    custody.create("domains/a.key", SECRET)
    path = custody.settings.keys.kek_file
    write_private(type(custody.settings.secrets)(path), base64.b64encode(os.urandom(32)))
    with pytest.raises(MissingEnvironmentError, match="which is not here"):
        Custody(custody.settings).get("domains/a.key")


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"ringfort-wrapped/1",
        b"ringfort-wrapped/1 file:x",
        b"ringfort-wrapped/1 file:x AAAA",
        b"ringfort-wrapped/2 file:x " + base64.b64encode(bytes(60)),
        b"ringfort-wrapped/1 file:x " + base64.b64encode(bytes(60)) + b" more",
        b"ringfort-wrapped/1 usb:x " + base64.b64encode(bytes(60)),
        b"ringfort-wrapped/1 file:x " + base64.b64encode(bytes(9000)),
        b"\xff\xfe",
    ],
)
def test_other_forms_are_refused_without_what_they_hold(custody, stored):
    write_private(custody.settings.secrets / "domains" / "a.key", stored)
    with pytest.raises(MissingEnvironmentError) as error:
        custody.get("domains/a.key")
    assert "AAAA" not in error.value.message


def test_only_the_root_may_be_plain_until_it_is_rewrapped(custody):
    plain = base64.b64encode(SECRET) + b"\n"
    write_private(custody.settings.secrets / "root.key", plain)
    write_private(custody.settings.secrets / "domains" / "a.key", plain)
    assert custody.get("root.key") == SECRET
    with pytest.raises(MissingEnvironmentError):
        custody.get("domains/a.key")
    custody.destroy("domains/a.key")
    assert [each.kek for each in custody.status()] == [""]
    assert custody.rewrap().moved == ("root.key",)
    assert custody.rewrap() == Rewrapped((), (), ())
    assert custody.get("root.key") == SECRET
    assert [each.kek for each in custody.status()] == [custody.current.id]
    assert (custody.settings.secrets / "root.key").read_bytes() != plain


def test_a_destroyed_secret_is_gone_from_disk(custody):
    custody.create("domains/a.key", SECRET)
    path = custody.settings.secrets / "domains" / "a.key"
    other = path.with_name("link")
    other.hardlink_to(path)  # what a name elsewhere still shows is noise
    before = path.read_bytes()
    custody.destroy("domains/a.key")
    custody.destroy("domains/a.key")
    assert not path.exists()
    assert len(other.read_bytes()) == len(before)
    assert other.read_bytes()[:18] != before[:18]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(tmp_path, size):
    with pytest.raises(UsageError):
        FileKeyEncryptionKey(bytes(size))
    write_private(tmp_path / "kek.key", base64.b64encode(bytes(size)))
    with pytest.raises(MissingEnvironmentError):
        FileKeyEncryptionKey.read(tmp_path / "kek.key")


def test_the_id_tells_the_key_apart_and_is_not_the_key():
    first, second = FileKeyEncryptionKey(SECRET), FileKeyEncryptionKey(bytes(32))
    assert first.id != second.id
    assert SECRET.hex()[:16] not in first.id


def test_nothing_is_wrapped_with_a_key_that_is_gone(custody):
    custody.create("domains/a.key", SECRET)
    type(custody.settings.secrets)(custody.settings.keys.kek_file).unlink()
    with pytest.raises(MissingEnvironmentError, match="cannot read the secret"):
        custody.create("domains/b.key", SECRET)
    with pytest.raises(MissingEnvironmentError):
        custody.get("domains/a.key")
    assert not custody.has("domains/b.key")
