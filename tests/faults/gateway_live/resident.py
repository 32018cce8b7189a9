"""How much memory a process holds, and clients that send or read without mercy."""

import contextlib
import ssl
import time
from pathlib import Path

from ringfort.pgwire.frontend import Query, serialise_frontend

MIB = 1 << 20
READY = b"Z\0\0\0\5I"


@contextlib.contextmanager
def resident_below(limit_mib, *pids):
    """None of the processes holds more than `limit_mib` MiB at any time in the block."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here on
    yield
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak < limit_mib * 1024, f"{peak // 1024} MiB in {Path(f'/proc/{pid}/cmdline').read_text()}"


def read_all(client, sql):
    """Send a Query and read its answer without keeping it; how many bytes it had, and its end."""
    client.send(serialise_frontend(Query(sql)))
    return drain(client)


def drain(client, until=READY):
    """Read and forget what comes until it ends with `until`, or the connection does."""
    total, tail, room = 0, b"", bytearray(MIB)
    while not tail.endswith(until):
        try:
            count = client.socket.recv_into(room)
        except (ConnectionError, ssl.SSLError):
            count = 0
        if not count:
            break
        total += count
        tail = (tail + bytes(room[max(0, count - 200) : count]))[-200:]
    return total, tail


def send_without_end(client, data, seconds):
    """Send `data` again and again without reading, for some time; how many bytes were taken."""
    client.socket.setblocking(False)
    taken, left, deadline = 0, b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = left or data
        try:
            sent = client.socket.send(left[: 256 * 1024])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            time.sleep(0.005)
            continue
        except OSError:
            break
        taken += sent
        left = left[sent:]
    client.socket.settimeout(30)
    return taken


__all__ = ["MIB", "drain", "read_all", "resident_below", "send_without_end"]
