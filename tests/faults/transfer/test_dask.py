"""Dask schedulers and workers that are killed, stopped, not there, or reached the wrong way."""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.faults.transfer.test_workers import begun_by
from tests.faults.transfer.worker_calls import block, end, forget, refuse
from tests.transfer_deployment import COMMAND, NAME, digests, make

from ringfort.errors import MissingEnvironmentError
from ringfort.transfer.dask_cluster import DaskCluster

distributed = pytest.importorskip("distributed")
REPOSITORY = Path(__file__).parents[3]
SECONDS = 120.0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Cluster:
    """A scheduler and its workers, each a process group of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes = []
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DASK_LOGGING__DISTRIBUTED": "error"}

    def scheduler(self, *options, scheme="tcp"):
        self.address = self.address.replace("tcp", scheme)
        port = self.address.rpartition(":")[2]
        line = ("scheduler", "--host", f"{scheme}://127.0.0.1:{port}", "--no-dashboard", *options)
        return self._start(*line)

    def worker(self, threads=1):
        return self._start(
            "worker", self.address, "--nthreads", str(threads), "--no-dashboard", "--no-nanny",
            "--local-directory", str(self.folder),
        )  # fmt: skip

    def _start(self, *line):
        with (self.folder / "said").open("ab") as said:
            made = subprocess.Popen(
                [sys.executable, "-m", "dask", *line],
                env=self.environment, cwd=REPOSITORY, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip
        self.processes.append(made)
        return made

    def answers(self):
        port, wait = int(self.address.rpartition(":")[2]), threading.Event()
        for _ in range(int(SECONDS / 0.1)):
            with socket.socket() as one:
                if not one.connect_ex(("127.0.0.1", port)):
                    return self
            wait.wait(0.1)
        raise AssertionError((self.folder / "said").read_text())

    def ready(self, workers=1):
        """Wait until the scheduler knows of so many workers: they take their time to start."""
        with distributed.Client(self.address, timeout=SECONDS, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=SECONDS)

    def close(self):
        for each in self.processes:
            each.kill()
            each.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def runner(cluster):
    made = DaskCluster(cluster.address, silence_seconds=5.0)
    yield made
    made.close()


def in_thread(act):
    made = threading.Thread(target=act, daemon=True)
    made.start()
    return made


def test_results_come_in_order_and_the_connection_stays(cluster, runner):
    cluster.scheduler()
    cluster.answers().worker()
    cluster.ready()
    assert list(runner.run(forget, "a", range(20), rows=20)) == [f"a:{each}" for each in range(20)]
    assert list(runner.run(forget, "b", range(2), rows=2)) == ["b:0", "b:1"]


def test_a_scheduler_without_workers_is_named(cluster, runner):
    cluster.scheduler()
    cluster.answers()
    with pytest.raises(MissingEnvironmentError, match="has no workers: none gave a sign of life for 5 sec"):
        list(runner.run(forget, "a", range(3), rows=3))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_only_worker_that_is_killed_or_stands_still_is_named(cluster, runner, tmp_path, number):
    cluster.scheduler()
    worker = cluster.answers().worker()
    cluster.ready()

    def act():
        begun_by(tmp_path, 0)
        worker.send_signal(number)

    thread = in_thread(act)
    with pytest.raises(MissingEnvironmentError, match=r"has (lost its|no) workers") as told:
        list(runner.run(block, str(tmp_path), range(3), rows=3))
    thread.join()
    assert "run the transfer again" in told.value.hint
    (tmp_path / "go").touch()
    worker.kill()
    cluster.worker()
    cluster.ready()
    assert list(runner.run(block, str(tmp_path), range(3), rows=3)) == [0, 1, 2]


def test_a_worker_that_stands_still_beside_another_is_named(cluster, runner, tmp_path):
    cluster.scheduler()
    cluster.answers()
    workers = [cluster.worker() for _ in range(2)]
    cluster.ready(2)
    first = runner.run(forget, "", range(8), rows=8)
    assert len(list(first)) == 8

    def act():
        pid = begun_by(tmp_path, 0)
        next(each for each in workers if each.pid == pid).send_signal(signal.SIGSTOP)
        (tmp_path / "go").touch()

    thread = in_thread(act)
    with pytest.raises(MissingEnvironmentError, match="gave no sign of life for 5 seconds, and no part"):
        list(runner.run(block, str(tmp_path), range(3), rows=3))
    thread.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_scheduler_that_is_killed_or_stands_still_is_named(cluster, runner, tmp_path, number):
    scheduler = cluster.scheduler()
    cluster.answers().worker()
    cluster.ready()

    def act():
        begun_by(tmp_path, 0)
        scheduler.send_signal(number)

    thread = in_thread(act)
    with pytest.raises(MissingEnvironmentError, match=r"the Dask scheduler at .* was lost"):
        list(runner.run(block, str(tmp_path), range(3), rows=3))
    thread.join()


def test_a_part_that_ends_its_worker_again_and_again_is_named(cluster, runner):
    cluster.scheduler()
    cluster.answers()
    over = threading.Event()

    def keep():  # what a nanny does
        while not over.is_set():
            one = cluster.worker()
            while one.poll() is None and not over.wait(0.05):
                pass

    keepers = [in_thread(keep) for _ in range(2)]
    try:
        runner._silence = SECONDS  # workers take their time to start
        with pytest.raises(MissingEnvironmentError, match="ended the Dask worker that did it, again and"):
            list(runner.run(end, "", [0], rows=1))
    finally:
        over.set()
        for each in keepers:
            each.join()


def test_words_of_a_fault_stand_neither_in_the_error_nor_in_the_logs_of_dask(cluster, runner, tmp_path):
    cluster.scheduler()
    cluster.answers().worker()
    cluster.ready()
    with pytest.raises(MissingEnvironmentError, match=r"ValueError at worker_calls.py") as told:
        list(runner.run(refuse, "the common 7654321", [1234567], rows=1))
    cluster.close()
    assert "1234567" not in str(told.value) + (tmp_path / "said").read_text()
    assert "7654321" not in (tmp_path / "said").read_text()


def test_an_address_where_nobody_is_is_named(runner):
    with pytest.raises(MissingEnvironmentError, match=r"the Dask scheduler at .* does not answer"):
        list(runner.run(forget, "a", range(3), rows=3))


def test_another_program_at_the_address_is_named(cluster, runner):
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(cluster.address.rpartition(":")[2])))
        other.listen()
        with pytest.raises(MissingEnvironmentError, match=r"the Dask scheduler at .* does not answer"):
            list(runner.run(forget, "a", range(3), rows=3))


def certificate(folder, name):
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("ours", ["none", "other"])
def test_certificates_that_do_not_fit_are_named(cluster, tmp_path, ours):
    import dask

    theirs, other = certificate(tmp_path, "theirs"), certificate(tmp_path, "other")
    options = []
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        options += [option, str(theirs)]
    cluster.scheduler(*options, scheme="tls")
    cluster.answers()
    tls = {"ca-file": str(other), "client": {"cert": str(other), "key": str(other)}}
    runner = DaskCluster(cluster.address, silence_seconds=5.0)
    with (
        dask.config.set({"distributed.comm.tls": tls} if ours == "other" else {}),
        pytest.raises(MissingEnvironmentError, match=r"the Dask scheduler at .* does not answer"),
    ):
        list(runner.run(forget, "a", range(3), rows=3))
    plain = DaskCluster(cluster.address.replace("tls", "tcp"), silence_seconds=5.0)
    with pytest.raises(MissingEnvironmentError, match=r"the Dask scheduler at .* does not answer"):
        list(plain.run(forget, "a", range(3), rows=3))


def test_a_run_that_lost_its_scheduler_goes_on_to_the_same_bytes(cluster, tmp_path):
    deployed = make(tmp_path / "shop", rows=300).approve()
    deployed.ringfort("transfer", "run", "DIR", NAME, check=True)
    whole = digests(deployed.releases()[0])
    with (deployed.folder / "ringfort.toml").open("a") as file:
        file.write("\n[transfers]\nsilence_seconds = 5\n")
    line = ("transfer", "run", str(deployed.folder), NAME, "--engine", "dask", "--scheduler", cluster.address)

    def failed(words):
        done = subprocess.run([*COMMAND, *line], capture_output=True, text=True, timeout=SECONDS)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert words in done.stderr
        assert "run the transfer again" in done.stderr
        assert len(deployed.releases()) == 1

    failed("does not answer")
    scheduler = cluster.scheduler()
    cluster.answers()
    failed("has no workers")
    cluster.worker()
    cluster.ready()
    cluster.processes[-1].send_signal(signal.SIGSTOP)
    thread = in_thread(lambda: threading.Event().wait(2) or scheduler.kill())
    failed("Dask scheduler")
    thread.join()
    cluster.close()
    cluster.scheduler()
    cluster.answers().worker()
    cluster.ready()
    done = deployed.ringfort(*line, check=True)
    assert ", which was cut off," in done.stdout
    assert digests(deployed.releases()[1]) == whole
