"""Secrets as files: closed from the first moment, whole or not at all, refused if others could read them."""

import os
import stat

import pytest

from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import FileKeyStore, write_private


@pytest.fixture
def store(tmp_path):
    (tmp_path / "secrets" / "tls").mkdir(parents=True)
    return FileKeyStore(tmp_path / "secrets")


def test_what_is_put_is_got(store):
    store.put("root.key", b"\0\xff")
    store.create("tls/server.key", b"x")
    assert store.get("root.key") == b"\0\xff"
    assert store.get("tls/server.key") == b"x"
    store.put("root.key", b"new")
    assert store.get("root.key") == b"new"
    store.remove("root.key")
    store.remove("root.key")
    assert not store.has("root.key")


def test_a_secret_is_never_wider_than_0600(store):
    mask = os.umask(0)
    try:
        store.put("root.key", b"x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((store.folder / "root.key").stat().st_mode) == 0o600
    assert [each.name for each in store.folder.iterdir() if each.is_file()] == ["root.key"]


def test_create_overwrites_nothing(store):
    store.create("root.key", b"first")
    with pytest.raises(UsageError, match="there already"):
        store.create("root.key", b"second")
    assert store.get("root.key") == b"first"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o777])
def test_a_secret_that_others_may_read_is_refused(store, mode):
    store.put("root.key", b"x")
    (store.folder / "root.key").chmod(mode)
    with pytest.raises(MissingEnvironmentError, match="open to others") as caught:
        store.get("root.key")
    assert "chmod 600" in caught.value.hint


def test_a_link_a_folder_and_nothing_are_refused(store, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"x")
    (store.folder / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("link", "tls", "nothing"):
        with pytest.raises(MissingEnvironmentError):
            store.get(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_of_somebody_else_is_refused(store):
    store.put("root.key", b"x")
    os.chown(store.folder / "root.key", 65_534, -1)
    with pytest.raises(MissingEnvironmentError, match=r"belongs to .*, not to"):
        store.get("root.key")


@pytest.mark.parametrize("name", ["", "../x", "a/b/c", "/etc/passwd", ".hidden", "a/../b", "a\0b"])
def test_a_name_stays_in_the_folder(store, name):
    with pytest.raises(UsageError):
        store.get(name)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MissingEnvironmentError, match="cannot write"):
        write_private(tmp_path / "no" / "x", b"")
