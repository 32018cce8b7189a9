"""Every durable write of a run that fails, before or after it took effect: told, nothing half."""

import errno
import os

import pytest
from tests.transfer_deployment import NAME, digests, make

from ringfort.errors import MissingEnvironmentError
from ringfort.record.disk import OsDisk
from ringfort.transfer.run import run_transfer
from ringfort.transfer.runners import InProcess

WRITES = 40


class FullDisk(OsDisk):
    """The n-th operation that changes the disk fails, `after` it took effect or before."""

    def __init__(self, at, *, after):
        self.at = at
        self.after = after
        self.count = 0

    def write_whole(self, path, data, *, sync=True):
        self._at(lambda: super(FullDisk, self).write_whole(path, data, sync=sync))

    def sync_folder(self, path):
        self._at(lambda: super(FullDisk, self).sync_folder(path))

    def _at(self, act):
        self.count += 1
        if self.count != self.at or self.after:
            act()
        if self.count == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("disk") / "shop", rows=300).approve()
    run_transfer(made.config, NAME, InProcess())
    return made


def fail_and_go_on(deployed, at, *, after):
    """Whether the disk failed."""
    whole = digests(deployed.releases()[0])
    known = set(deployed.releases())
    disk = FullDisk(at, after=after)
    told = None
    try:
        run_transfer(deployed.config, NAME, InProcess(), disk=disk)
    except MissingEnvironmentError as error:
        told = error
    assert told is None or ("no space left" in told.message and told.hint)
    failed = told is not None
    assert all(digests(each) == whole for each in deployed.releases())
    if failed:
        run_transfer(deployed.config, NAME, InProcess())
    new = [each for each in deployed.releases() if each not in known]
    assert [digests(each) for each in new] == [whole]
    assert not list(deployed.outbox.glob(".*"))
    return failed


@pytest.mark.parametrize(("at", "after"), [(1, False), (8, True)])
def test_a_write_that_fails_is_told_and_the_run_goes_on(deployed, at, after):
    assert fail_and_go_on(deployed, at, after=after)


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True])
def test_any_write_may_fail(deployed, after):
    failed = [fail_and_go_on(deployed, at, after=after) for at in range(1, WRITES)]
    assert sum(failed) > 12
    assert not failed[-1]
