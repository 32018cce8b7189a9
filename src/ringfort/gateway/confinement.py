"""Takes from a process what it does not need, for good: Landlock and a seccomp filter, by system calls alone.

`confine` is for a process that from now on reads one pipe, writes another, and computes. Then the process
opens no file, makes no socket, starts no process, signals nobody, traces nobody, and maps no memory that can
be run: whoever takes it over through a bug in a C library finds the memory of this process and two pipes.
What is already open stays; only descriptor 0 is read, only 1 is written.

Two layers, each enough to keep files shut: Landlock (Linux 5.13) with no rule at all, and a list of the
system calls that may be made (x86-64 and ARM64; anything else fails with EPERM, another architecture's call
ends the process). Each says whether it is there; a kernel or container may lack either. Nothing can be
undone.

Left out: processor time and memory (`resource` limits), and what another process of the account may do to a
file in the meantime.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

LANDLOCK: Final = "landlock"
SECCOMP: Final = "seccomp"

_PR_SET_NO_NEW_PRIVS = 38
_SET_FILTER, _ALL_THREADS = 1, 1

# -- Landlock ----------------------------------------------------------------------------------------------

_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # one number everywhere
_VERSION_QUESTION = 1
_FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # rights over files that each version knows
_NET_FROM, _NET = 4, 0b11  # bind and connect TCP
_SCOPE_FROM, _SCOPE = 6, 0b11  # abstract sockets, signals

# -- seccomp -----------------------------------------------------------------------------------------------

_KILL, _ERRNO, _ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
_LOAD, _EQUAL, _SET, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in seccomp_data; arguments are 8 bytes each
_EXECUTE = 4  # PROT_EXEC
_X32 = 0x4000_0000

# name -> number on x86-64, on ARM64; -1 where there is none
_CALLS: Final = {
    "brk": (12, 214),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "close": (3, 57),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fstat": (5, 80),
    "futex": (202, 98),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "newfstatat": (262, 79),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sigaltstack": (131, 132),
}
_READ, _WRITE = (0, 63), (1, 64)
_MMAP, _MPROTECT = (9, 222), (10, 226)
_PRLIMIT = (302, 261)
_SECCOMP = (317, 277)
_MACHINES: Final = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}


def confine() -> tuple[str, ...]:
    """Confine this process; gives the layers that are in force, of `LANDLOCK` and `SECCOMP`.

    Import and use before everything that is still to be imported or opened. Landlock holds for this thread
    and those that it starts, the filter for all that there are.
    """
    if not sys.platform.startswith("linux"):
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return ()
    layers = []
    if _landlock(libc):
        layers.append(LANDLOCK)
    if _seccomp(libc):
        layers.append(SECCOMP)
    return tuple(layers)


def _landlock(libc: ctypes.CDLL) -> bool:
    call = libc.syscall
    call.restype = ctypes.c_long
    version = call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_QUESTION))
    if version < 1:
        return False
    rights = (1 << _FILES.get(version, max(_FILES.values()))) - 1
    attributes = struct.pack("=Q", rights)
    if version >= _NET_FROM:
        attributes += struct.pack("=Q", _NET)
    if version >= _SCOPE_FROM:
        attributes += struct.pack("=Q", _SCOPE)
    descriptor = call(
        _LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )  # no rule is added: nothing is allowed
    if descriptor < 0:
        return False
    try:
        return bool(call(_LANDLOCK_RESTRICT, ctypes.c_int(descriptor), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(descriptor)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _seccomp(libc: ctypes.CDLL) -> bool:
    known = _MACHINES.get(platform.machine())
    if known is None or struct.calcsize("P") != 8:
        return False
    code = program(*known)
    wanted = _Program(len(code) // 8, code)
    number = _SECCOMP[known[0]]
    return bool(libc.syscall(number, _SET_FILTER, _ALL_THREADS, ctypes.byref(wanted)) == 0)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """One instruction of classic BPF: `yes` and `no` are how many to skip."""
    return struct.pack("=HBBI", code, yes, no, value)


def program(machine: int, architecture: int) -> bytes:
    """The filter as BPF instructions; `machine` is the column of the tables."""
    permit, refuse = _step(_RETURN, _ALLOW), _step(_RETURN, _ERRNO | errno.EPERM)
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, no=1),
        _step(_RETURN, _KILL),
    ]
    for numbers in _CALLS.values():
        code += [_step(_EQUAL, numbers[machine], no=1), permit]
    # calls of which an argument decides; the kernel takes the lower half of each of these
    code += _with_argument(_READ[machine], 0, [_step(_EQUAL, 0, no=1), permit, refuse])
    code += _with_argument(_WRITE[machine], 0, [_step(_EQUAL, 1, no=1), permit, refuse])
    for numbers in (_MMAP, _MPROTECT):
        code += _with_argument(numbers[machine], 2, [_step(_SET, _EXECUTE, no=1), refuse, permit])
    code += _with_argument(_PRLIMIT[machine], 0, [_step(_EQUAL, 0, no=1), permit, refuse])
    return b"".join((*code, refuse))


def _with_argument(number: int, argument: int, judge: list[bytes]) -> list[bytes]:
    """Instructions for one call: `judge` sees the lower half of the argument, and ends in a return."""
    load = _step(_LOAD, _ARGUMENTS + 8 * argument)
    return [_step(_EQUAL, number, no=1 + len(judge)), load, *judge]


__all__ = ["LANDLOCK", "SECCOMP", "confine", "program"]
