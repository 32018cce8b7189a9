"""Rotating a key-encryption key in a file: what opens when, what is destroyed when, and beside whom."""

import base64
import dataclasses
import os
import threading
from pathlib import Path

import pytest

from ringfort.config import KeysConfig
from ringfort.errors import MissingEnvironmentError, UsageError
from ringfort.private_files import write_private
from ringfort.sites.custody import Custody, CustodySettings

NAMES = ("root.key", "canaries/c.key", "domains/a.key", "domains/b.key")
SECRETS = {name: bytes([at]) * 32 for at, name in enumerate(NAMES)}


@pytest.fixture
def custody(tmp_path):
    secrets = tmp_path / "secrets"
    for each in ("domains", "canaries"):
        (secrets / each).mkdir(parents=True)
    made = Custody(CustodySettings(secrets, KeysConfig(kek_file=str(secrets / "kek.key"))))
    assert made.make_current()
    for name, secret in SECRETS.items():
        made.create(name, secret)
    return made


def opened(custody):
    """What a process that starts now finds."""
    return {name: Custody(custody.settings).get(name) for name in NAMES}


def keks(custody):
    return {each.kek for each in custody.status()}


def files(custody):
    return sorted(each.name for each in custody.settings.secrets.glob("kek.key*"))


def test_a_key_is_rotated_in_place_and_the_one_before_is_destroyed(custody, tmp_path):
    first = custody.current.id
    (tmp_path / "link").hardlink_to(custody.settings.keys.kek_file)  # what the disk still holds
    old = (tmp_path / "link").read_bytes()
    second = custody.make_next()
    assert custody.make_next() == second
    assert (custody.current.id, keks(custody), opened(custody)) == (first, {first}, SECRETS)
    custody.use_next(second)
    custody.use_next(second)
    assert (custody.current.id, keks(custody), opened(custody)) == (second, {first}, SECRETS)
    assert custody.files.before() == [first]
    seen = []
    done = custody.rewrap(lambda done, total: seen.append((done, total)))
    assert done.moved == NAMES
    assert done.destroyed == (first,)
    assert done.left == ()
    assert (keks(custody), opened(custody), files(custody)) == ({second}, SECRETS, ["kek.key"])
    assert [each for each, _ in seen] == [*range(8), 1]
    assert (tmp_path / "link").read_bytes() != old
    assert custody.rewrap().moved == ()


def test_what_does_not_open_costs_itself_and_keeps_the_key_before(custody):
    first, second = custody.current.id, custody.make_next()
    path = custody.settings.secrets / "domains" / "a.key"
    kept = path.read_bytes()
    form, kek, data = kept.decode().split()
    raw = bytearray(base64.b64decode(data))
    raw[20] ^= 1
    for broken in (f"{form} {kek} {base64.b64encode(raw).decode()}\n".encode(), b"", b"noise"):
        write_private(path, broken)
        if custody.current.id == first:
            custody.use_next(second)
        done = custody.rewrap()
        assert [name for name, _ in done.left] == ["domains/a.key"]
        assert done.destroyed == ()
        assert custody.files.before() == [first]
        assert Custody(custody.settings).get("root.key") == SECRETS["root.key"]
    write_private(path, kept)
    assert custody.rewrap().destroyed == (first,)
    assert opened(custody) == SECRETS


def test_a_secret_under_a_key_that_is_nowhere_is_named(custody):
    other = custody.settings.secrets / "other.key"
    elsewhere = Custody(dataclasses.replace(custody.settings, keys=KeysConfig(kek_file=str(other))))
    with pytest.raises(MissingEnvironmentError, match="which is not here") as error:
        elsewhere.get("root.key")
    assert "--old-key" in error.value.hint
    first = elsewhere.keep(Path(custody.settings.keys.kek_file))
    assert opened(elsewhere) == SECRETS  # already, and before there is a key to wrap with
    assert elsewhere.make_current()
    assert opened(elsewhere) == SECRETS
    done = elsewhere.rewrap()
    assert (done.moved, done.destroyed) == (NAMES, (first,))
    Path(custody.settings.keys.kek_file).unlink()
    assert opened(elsewhere) == SECRETS
    with pytest.raises(UsageError, match="that is in use"):
        elsewhere.keep(other)


def test_a_switch_that_was_cut_off_between_its_two_steps_loses_no_key(custody):
    first = custody.current.id
    path = Path(custody.settings.keys.kek_file)
    path.with_name(f"kek.key.before-{first.removeprefix('file:')}").hardlink_to(path)
    assert custody.rewrap().destroyed == ()  # everything names it
    for name in NAMES:
        custody.destroy(name)
    assert custody.rewrap().destroyed == (first,)
    assert custody.current.id == first  # it is the one in use, too: only the second name went
    custody.create("root.key", SECRETS["root.key"])
    assert Custody(custody.settings).get("root.key") == SECRETS["root.key"]


def test_two_rotations_at_once_use_one_key(custody):
    mine = custody.make_next()
    assert Custody(custody.settings).make_next() == mine
    custody.use_next(mine)
    theirs = custody.make_next()
    with pytest.raises(UsageError, match="rotated the key-encryption key meanwhile"):
        custody.use_next("file:" + "0" * 32)
    assert custody.current.id == mine
    assert theirs != mine


@pytest.mark.parametrize(
    "name", ["kek.key.before-x", "kek.key.before-", "kek.key.before-../a", "kek.key.old"]
)
def test_files_that_only_look_like_keys_are_left_alone(custody, name):
    if "/" not in name:
        write_private(custody.settings.secrets / name, base64.b64encode(os.urandom(32)))
    custody.use_next(custody.make_next())
    assert len(custody.rewrap().destroyed) == 1
    if "/" not in name:
        assert (custody.settings.secrets / name).exists()


def test_a_file_of_a_key_before_that_holds_another_key_opens_nothing(custody):
    first = custody.current.id
    custody.use_next(custody.make_next())
    before = custody.settings.secrets / f"kek.key.before-{first.removeprefix('file:')}"
    write_private(before, base64.b64encode(os.urandom(32)))
    with pytest.raises(MissingEnvironmentError, match="which is not here"):
        custody.get("root.key")
    assert len(custody.rewrap().left) == 4
    assert before.exists()


def test_a_rotation_beside_others_loses_no_secret_and_brings_none_back(custody):
    """Secrets are opened, made and destroyed by others while keys are rotated over and over."""
    domains, made, destroyed, wrong = custody.settings.secrets / "domains", {}, set(), []
    over = threading.Event()

    def others(of):
        own = Custody(custody.settings)
        number = 0
        try:
            while not over.is_set():
                number += 1
                name = f"domains/{of}-{number}.key"
                own.create(name, name.encode())
                made[name] = name.encode()
                for each in [*NAMES, name]:
                    own.get(each)
                if number % 2:
                    own.destroy(name)
                    destroyed.add(name)
        except Exception as error:  # noqa: BLE001 - told at the end
            wrong.append(error)

    threads = [threading.Thread(target=others, args=(each,)) for each in range(3)]
    for each in threads:
        each.start()
    for _ in range(8):
        custody.use_next(custody.make_next())
        done = custody.rewrap()
        assert done.left == ()
        assert len(done.destroyed) == 1
    over.set()
    for each in threads:
        each.join()
    assert not wrong, wrong
    assert len(destroyed) > 3
    left = {f"domains/{each.name}" for each in domains.iterdir()} - set(NAMES)
    assert left == made.keys() - destroyed
    assert {name: custody.get(name) for name in left} == {name: made[name] for name in left}
    assert opened(custody) == SECRETS
    assert custody.rewrap().left == ()
    assert keks(custody) == {custody.current.id}
