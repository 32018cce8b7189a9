"""What a confined process cannot do any more, tried by a real one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringfort.gateway.confinement import LANDLOCK, SECCOMP, program

ATTEMPTS = """\
import ctypes, errno, json, mmap, os, resource, socket, subprocess, sys
from ringfort.gateway import confinement
secret, other, layers = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
kept = os.open(secret, os.O_RDONLY)
written = os.open(os.devnull, os.O_WRONLY)
libc = ctypes.CDLL(None, use_errno=True)
if "seccomp" not in layers:
    confinement._seccomp = lambda _: False
if "landlock" not in layers:
    confinement._landlock = lambda _: False
def number(name):
    calls = {"ptrace": 101, "process_vm_readv": 310, "io_uring_setup": 425, "bpf": 321, "openat2": 437,
             "memfd_create": 319, "userfaultfd": 323, "pidfd_open": 434, "unshare": 272, "prctl": 157}
    return calls[name]
def call(name, *arguments):
    if libc.syscall(number(name), *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
attempts = {
    "open": lambda: open(secret).read(),
    "open for writing": lambda: open(secret + ".new", "w"),
    "openat2": lambda: call("openat2", -100, secret.encode(), b"\\0" * 24, 24),
    "read another descriptor": lambda: os.read(kept, 10),
    "write another descriptor": lambda: os.write(written, b"x"),
    "write standard error": lambda: os.write(2, b"a line that nobody wrote"),
    "list": lambda: os.listdir("/"),
    "proc": lambda: open("/proc/self/environ").read(),
    "socket": lambda: socket.socket(),
    "unix socket": lambda: socket.socketpair(),
    "fork": lambda: os._exit(0) if os.fork() == 0 else None,
    "execve": lambda: os.execv("/bin/true", ["true"]),
    "subprocess": lambda: subprocess.run(["/bin/true"]),
    "kill": lambda: os.kill(other, 0),
    "kill parent": lambda: os.kill(os.getppid(), 0),
    "ptrace": lambda: call("ptrace", 16, other, 0, 0),
    "process_vm_readv": lambda: call("process_vm_readv", other, 0, 0, 0, 0, 0),
    "io_uring": lambda: call("io_uring_setup", 8, b"\\0" * 120),
    "bpf": lambda: call("bpf", 0, b"\\0" * 64, 64),
    "memfd": lambda: os.memfd_create("x"),
    "pidfd": lambda: call("pidfd_open", other, 0),
    "unshare": lambda: call("unshare", 0x10000000),
    "prctl": lambda: call("prctl", 4, 1, 0, 0, 0),
    "rlimit of another": lambda: resource.prlimit(other, resource.RLIMIT_CPU),
    "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "rename": lambda: os.rename(secret, secret + ".x"),
    "unlink": lambda: os.unlink(secret),
    "link": lambda: os.link(secret, secret + ".l"),
    "chmod": lambda: os.chmod(secret, 0o777),
    "pipe": lambda: os.pipe(),
}
found = {"layers": confinement.confine(), "could": [], "said": {}}
for name, attempt in attempts.items():
    try:
        attempt()
        found["could"].append(name)
    except OSError as error:
        found["said"][name] = errno.errorcode[error.errno]
[bytearray(1 << 20) for _ in range(50)]  # computing goes on
print(json.dumps(found))
"""


def tried(tmp_path, layers):
    secret = tmp_path / "ledger.key"
    secret.write_text("secret")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        try:
            done = subprocess.run(
                [sys.executable, "-c", ATTEMPTS, str(secret), str(other.pid), layers],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        finally:
            other.communicate(b"\n")
    assert done.returncode == 0, done.stderr
    assert "seccomp" not in layers or not done.stderr
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.key"]
    return json.loads(done.stdout)


def needs(layer):
    """Skip where the kernel does not have it."""
    code = "from ringfort.gateway.confinement import confine; print(*confine())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if layer not in done.stdout:
        pytest.skip(f"no {layer} here")


def test_nothing_can_be_opened_reached_or_started(tmp_path):
    needs(SECCOMP)
    found = tried(tmp_path, "landlock,seccomp")
    assert found["could"] == []
    assert set(found["said"].values()) == {"EPERM"}


def test_landlock_alone_keeps_files_shut(tmp_path):
    needs(LANDLOCK)
    found = tried(tmp_path, "landlock")
    assert found["layers"] == ["landlock"]
    shut = {"open", "open for writing", "list", "proc", "rename", "unlink", "link"}
    assert shut <= set(found["said"])
    assert {found["said"][each] for each in shut} <= {"EACCES", "EXDEV"}


def test_seccomp_alone_keeps_all_shut(tmp_path):
    needs(SECCOMP)
    found = tried(tmp_path, "seccomp")
    assert found["layers"] == ["seccomp"]
    assert found["could"] == []


def test_a_call_of_another_architecture_ends_the_process():
    needs(SECCOMP)
    code = (
        "import ctypes; from ringfort.gateway.confinement import confine; confine();"
        "ctypes.CDLL(None).syscall(0x40000000 + 2, b'/etc/passwd', 0); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode < 0
    assert "goes on" not in done.stdout


@pytest.mark.parametrize("machine", [0, 1])
def test_every_jump_of_the_filter_stays_within_it(machine):
    code = program(machine, 0xC000_003E)
    steps = [code[at : at + 8] for at in range(0, len(code), 8)]
    assert len(code) % 8 == 0
    assert len(steps) < 4096
    for at, step in enumerate(steps):
        assert at + 1 + max(step[2], step[3]) < len(steps) or step[0] == 0x06
    assert steps[-1][0] == 0x06
    assert int.from_bytes(steps[-1][4:], sys.byteorder) >> 16 == 0x0005


LOOK = "import os, sys; os.setuid(int(sys.argv[2])); print(len(open(f'/proc/{sys.argv[1]}/maps').read()))"


@pytest.mark.parametrize("concealed", [False, True])
def test_secrets_leave_no_core_and_no_memory_to_others_of_the_account(concealed):
    account = 65534 if os.getuid() == 0 else os.getuid()  # root reads everything
    code = (
        "import os, resource, sys; from ringfort.process import conceal;"
        "os.setuid(int(sys.argv[1]));"
        f"{'conceal()' if concealed else ''};"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(account)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        limit = process.stdout.readline()
        look = [sys.executable, "-c", LOOK, str(process.pid), str(account)]
        looked = subprocess.run(look, capture_output=True, check=False)
        process.communicate(b"\n", timeout=20)
    if concealed:
        assert limit == b"0\n"
        assert looked.returncode != 0


def test_a_reader_says_that_it_is_confined_and_reads_as_before():
    needs(SECCOMP)
    with subprocess.Popen(
        [sys.executable, "-m", "ringfort.gateway.parser", "--reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:

        def answer():
            size = int.from_bytes(reader.stdout.read(4), "big")
            return json.loads(reader.stdout.read(size))

        def ask(**request):
            body = json.dumps({"key": "k", "seconds": 5, **request}).encode()
            reader.stdin.write(len(body).to_bytes(4, "big") + body)
            reader.stdin.flush()
            return answer()

        assert SECCOMP in answer()["confined"]
        surface = {"relations": ["t"], "schema": "s", "columns": ["a"]}
        assert ask(sql="SELECT a FROM t", surface=surface)["allowed"]
        for text in (
            "SELECT a FROM hidden",
            "SELEKT",
            "SELECT '\\x00'",
            "SELECT 1" + " UNION SELECT 1" * 200,
        ):
            assert "allowed" in ask(sql=text)
        assert "Seccomp:\t2" in Path(f"/proc/{reader.pid}/status").read_text()
        reader.stdin.close()
        reader.wait(20)
