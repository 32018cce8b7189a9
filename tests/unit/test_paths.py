"""Folders that only their owner can enter; parents are never touched."""

import os
import stat
from pathlib import Path

import pytest

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import Account, can_enter, private_folder, runtime_folder, socket_folder

NOBODY = Account("nobody", 65_534, 65_534)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_made_closed_whatever_the_umask(tmp_path):
    for mask in (0, 0o077, 0o777):
        before = os.umask(mask)
        try:
            made = private_folder(tmp_path / f"p{mask}" if mask != 0o777 else tmp_path / "flat")
        finally:
            os.umask(before)
        assert mode(made) == 0o700


def test_an_open_folder_is_refused_not_closed(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(MissingEnvironmentError, match="others can enter") as caught:
        private_folder(tmp_path / "open")
    assert "chmod 700" in caught.value.hint
    assert mode(tmp_path / "open") == 0o755


def test_a_parent_keeps_its_mode(tmp_path):
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent").chmod(0o751)
    private_folder(tmp_path / "parent" / "child")
    assert mode(tmp_path / "parent") == 0o751


def test_a_file_or_a_link_in_the_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("file", "link"):
        with pytest.raises(MissingEnvironmentError, match="is not a folder"):
            private_folder(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", NOBODY.uid, NOBODY.gid)
    with pytest.raises(MissingEnvironmentError, match="another account"):
        private_folder(tmp_path / "theirs")


def test_sockets_lie_in_the_deployment_unless_its_path_is_too_long(tmp_path):
    short = Path("/tmp/ringfort-short-test")
    assert len(str(tmp_path / ("x" * 90))) > 100
    long = runtime_folder(tmp_path / ("x" * 90))
    try:
        assert long.parent == Path("/tmp")
        assert long.name.startswith(f"ringfort-{os.geteuid()}-")
        assert mode(long) == 0o700
        assert runtime_folder(tmp_path / ("x" * 90)) == long
        assert runtime_folder(short) == short / "state" / "run"
        assert len(str(socket_folder(long, None))) < 100
    finally:
        for path in (long / "run", long, short / "state" / "run", short / "state", short):
            path.rmdir()


def test_who_can_enter(tmp_path):
    me = Account("me", os.geteuid(), os.getegid())
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    inner.chmod(0o700)
    assert can_enter(inner, me)
    assert not can_enter(inner, NOBODY) or os.geteuid() == NOBODY.uid
    assert can_enter(Path("/usr/bin"), NOBODY)
