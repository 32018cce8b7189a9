"""Places where a ledger's disk is full or frozen, and a network that is cut: real ones, of this machine."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading

import pytest


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


def _mount_over(folder, *how):
    """Mount something over a folder, with what was in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk of its own for the ledger")
    aside = folder.with_name("ledger-aside")
    shutil.copytree(folder, aside)
    try:
        _run("mount", *how, str(folder))
    except OSError as error:
        pytest.skip(f"this machine mounts no disk of its own for the ledger ({error})")
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)


class OwnDisk:
    """A disk of its own under `folder`: full to the last byte, or frozen (every write and sync hangs)."""

    def __init__(self, folder, image, mib=160):
        self._folder = folder
        self._image = image
        self._mib = mib
        self._filler = folder / "filler"
        self._frozen = False

    def __enter__(self):
        if shutil.which("fsfreeze") is None or shutil.which("mkfs.ext4") is None:
            pytest.skip("fsfreeze and mkfs.ext4 are not on this machine")
        with self._image.open("wb") as file:
            file.truncate(self._mib << 20)
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        _mount_over(self._folder, "-o", "loop", str(self._image))
        return self

    def __exit__(self, *error):
        self.thaw()
        _run("umount", "-l", str(self._folder))

    def fill(self):
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))

    def free(self):
        self._filler.unlink()

    def freeze(self):
        _run("fsfreeze", "-f", str(self._folder))
        self._frozen = True

    def thaw(self):
        if self._frozen:
            _run("fsfreeze", "-u", str(self._folder))
            self._frozen = False


class CutNetwork:
    """A way to `target` that is cut once `after` bytes came back: closed, or reset."""

    def __init__(self, target, *, reset):
        self._target = target
        self._reset = reset
        self.after = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _serve(self):
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            with near, socket.create_connection(self._target) as far:
                there = threading.Thread(target=self._pass, args=[near, far], daemon=True)
                there.start()
                self._back(far, near)
                for each in (near, far):
                    if self._reset:
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    with contextlib.suppress(OSError):  # who still reads it would keep it open
                        each.shutdown(socket.SHUT_RD if self._reset else socket.SHUT_RDWR)
            there.join(10)

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)

    def _back(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self.after is not None:
                    data = data[: self.after]
                    self.after -= len(data)
                sink.sendall(data)
                if self.after == 0:
                    return


__all__ = ["CutNetwork", "OwnDisk"]
