"""Pseudonyms in columns beside the per-value peers: rows a second on one thread, and peak memory.

    python bench/privacy.py [--quick] [--json FILE]

Peers take one value a call, over as many values as they do in a second or so; they get their values ready in
the form they like best. DuckDB takes a whole column with one thread. A peer that is not installed is named
and left out. Memory is measured in a process of its own: how far the resident set rises above what it was
when the input stood ready, the input counted in, against input and output together.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC

from harness import Report, Series, ended_quietly, in_turns, options
from ringfort.privacy.epoch_keys import NEWEST
from ringfort.privacy.ff1 import FF1
from ringfort.privacy.formats import Ciphers, column
from ringfort.privacy.pseudonym import Pseudonymiser
from ringfort.privacy.siv import Siv

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(range(16))
PEER_VALUES = 200_000
OURS = "ringfort"
DUCKDB = "DuckDB sha256"
Work = tuple[int, "Callable[[], object]"]  # how many values, and what does them


def installed(module: str, name: str) -> bool:
    """Whether a peer is here; if not, it is said."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"{name} is not installed: left out", flush=True)
    return found


def texts(count: int) -> pa.StringArray:
    """Strings of 8 to 40 letters."""
    rng = np.random.default_rng(1)
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(rng.integers(8, 41, count), out=offsets[1:])
    data = rng.integers(97, 123, int(offsets[-1]), np.uint8)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def numbers(count: int) -> pa.Int64Array:
    """Ids of eight bytes."""
    return pa.array(np.random.default_rng(2).integers(0, 2**62, count))


def digit_strings(count: int) -> pa.StringArray:
    """Strings of sixteen digits."""
    data = np.random.default_rng(3).integers(48, 58, count * 16, np.uint8)
    offsets = np.arange(count + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def cmac_loop(values: list[bytes]) -> None:
    key = algorithms.AES(KEY)
    first = CMAC(key)
    for each in values:
        one = first.copy()
        one.update(each)
        one.finalize()


def duckdb_column(values: pa.Array) -> Callable[[], object]:
    duckdb = importlib.import_module("duckdb")
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("given", pa.table({"value": values}))
    return lambda: connection.sql("SELECT sha256(value) FROM given").to_arrow_table()


def tink_primitive(what: str) -> Callable[[bytes], object]:
    tink = importlib.import_module("tink")
    daead, mac = importlib.import_module("tink.daead"), importlib.import_module("tink.mac")
    if what == "mac":
        mac.register()
        handle = tink.new_keyset_handle(mac.mac_key_templates.AES_CMAC)
        compute: Callable[[bytes], object] = handle.primitive(mac.Mac).compute_mac
        return compute
    daead.register()
    handle = tink.new_keyset_handle(daead.deterministic_aead_key_templates.AES256_SIV)
    encrypt = handle.primitive(daead.DeterministicAead).encrypt_deterministically
    return lambda value: encrypt(value, b"")


def each_of(values: list[Any], work: Callable[[Any], object]) -> Work:
    def all_of_them() -> None:
        for each in values:
            work(each)

    return len(values), all_of_them


def of_messages(
    values: pa.Array, few: pa.Array, messages: list[bytes], whole: Callable[[], object]
) -> dict[str, Work]:
    """Ours over `values`; the peers over fewer, `few` as a column, `messages` one by one."""
    found: dict[str, Work] = {
        OURS: (len(values), whole),
        "cryptography CMAC": (len(messages), lambda: cmac_loop(messages)),
    }
    if installed("tink", "Tink"):
        found["Tink AES-CMAC"] = each_of(messages, tink_primitive("mac"))
        found["Tink AES-SIV"] = each_of(messages, tink_primitive("siv"))
    if installed("duckdb", "DuckDB"):
        found[DUCKDB] = (len(few), duckdb_column(few))
    return found


def of_texts(count: int) -> dict[str, Work]:
    values = texts(count)
    messages = [each.encode() for each in values.slice(0, PEER_VALUES).to_pylist()]
    kernel = Pseudonymiser(KEY, "text")
    return of_messages(values, values.slice(0, 5 * PEER_VALUES), messages, lambda: kernel.column(values))


def of_numbers(count: int) -> dict[str, Work]:
    values = numbers(count)
    few = values.slice(0, 5 * PEER_VALUES).cast(pa.string())
    messages = [b"rf-int8\0" + each.to_bytes(8, "big") for each in values.slice(0, PEER_VALUES).to_pylist()]
    kernel = Pseudonymiser(KEY, "number")
    return of_messages(values, few, messages, lambda: kernel.column(values))


def of_dictionary(count: int) -> dict[str, Work]:
    values = texts(10_000)
    indices = pa.array(np.random.default_rng(4).integers(0, len(values), count, np.int32))
    coded = pa.DictionaryArray.from_arrays(indices, values)
    plain = coded.cast(pa.string())
    kernel = Pseudonymiser(KEY, "text")
    return {
        OURS: (count, lambda: kernel.column(coded)),
        "the same, plain": (count, lambda: kernel.column(plain)),
    }


def of_digits(count: int) -> dict[str, Work]:
    values = digit_strings(count)
    ciphers = Ciphers.of(KEY, NEWEST)
    matrix = np.frombuffer(values.buffers()[2], np.uint8).reshape(-1, 16) & np.uint8(15)
    kernel = FF1(KEY)
    tweak = b"0" * 16  # the pattern
    few = values.slice(0, PEER_VALUES // 8).to_pylist()
    found: dict[str, Work] = {
        OURS: (count, lambda: column(values, "code", ciphers)),
        "its kernel": (count, lambda: kernel.encipher(matrix, tweak)),
    }
    if installed("fastfpe", "fastfpe"):
        encrypt = importlib.import_module("fastfpe").ff1.encrypt
        key, given = KEY.hex(), tweak.hex()
        assert column(values.slice(0, 1), "code", ciphers).to_pylist() == [
            encrypt(key, given, "0123456789", few[0])
        ]
        found["fastfpe"] = each_of(few, lambda text: encrypt(key, given, "0123456789", text))
    if installed("ffx", "libffx"):
        one = importlib.import_module("ffx").FF1(KEY, radix=10)
        found["libffx"] = each_of(few[:3000], lambda text: one.encrypt(text, tweak=tweak))
    return found


def of_sealed(count: int) -> dict[str, Work]:
    values = texts(count)
    messages = [each.encode() for each in values.slice(0, PEER_VALUES // 2).to_pylist()]
    siv, one = Siv(bytes(range(64))), AESSIV(bytes(range(64)))
    found = {
        OURS: (count, lambda: siv.column(values)),
        "cryptography AESSIV": each_of(messages, lambda message: one.encrypt(message, [b""])),
    }
    if installed("tink", "Tink"):
        found["Tink AES-SIV"] = each_of(messages, tink_primitive("siv"))
    return found


def status(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def memory_of(what: str, count: int, out: Any) -> None:  # noqa: ANN401 - a pipe
    """In a process of its own: bytes of input and output, and of the peak that is owed to them."""
    made: dict[str, Callable[[int], pa.Array]] = {
        "strings": texts,
        "int64": numbers,
        "16 digits": digit_strings,
    }
    work: dict[str, Callable[[pa.Array], pa.Array]] = {
        "strings": Pseudonymiser(KEY, "text").column,
        "int64": Pseudonymiser(KEY, "number").column,
        "16 digits": lambda values: column(values, "code", Ciphers.of(KEY, NEWEST)),
    }
    work[what](made[what](50_000))  # what is loaded once is not counted
    values = made[what](count)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    result = work[what](values)
    out.send((values.nbytes, result.nbytes, status("VmHWM") - before + values.nbytes))


def memory(report: Report, count: int) -> None:
    """Peak memory against input and output together."""
    context = multiprocessing.get_context("spawn")
    for what in ("strings", "int64", "16 digits"):
        ours, theirs = context.Pipe()
        child = context.Process(target=memory_of, args=(what, count, theirs))
        child.start()
        given, made, peak = ours.recv()
        child.join()
        series = Series(f"peak memory, {what}, {count:,} rows", "MB")
        for name, value in (("input", given), ("output", made), ("peak", peak), ("both", given + made)):
            series.add(name, value / 1e6)
        report.add(series, [("peak", "both")])


def measure(report: Report, name: str, works: dict[str, Work], rounds: int) -> None:
    """Millions of rows a second, by processor time: one thread each, on a machine that others use too."""
    series = Series(name, "million rows/s")
    for peer in in_turns(rounds, works):
        count, work = works[peer]
        begun = time.process_time()
        work()
        series.add(peer, count / (time.process_time() - begun) / 1e6)
    report.add(series, [(OURS, peer) for peer in works if peer != OURS])
    peers = [peer for peer in works if peer not in {OURS, "its kernel", "the same, plain"}]
    if peers:
        fastest = max(peers, key=series.median)
        ratio = statistics.median(
            one / other for one, other in zip(series.values[OURS], series.values[fastest], strict=True)
        )
        report.results[-1]["fastest peer"] = {"name": fastest, "ratio": ratio}
        print(f"    {ratio:,.1f} times the fastest peer, {fastest}", flush=True)


def main() -> None:
    given = options((__doc__ or "").splitlines()[0]).parse_args()
    count, rounds = (1_000_000, 3) if given.quick else (10_000_000, 5)
    report = Report(given.json)
    with ended_quietly():
        for name, works in (
            (f"{count:,} strings of 8 to 40 bytes", of_texts),
            (f"{count:,} int64", of_numbers),
            (f"{count:,} strings, a dictionary of 10,000", of_dictionary),
            (f"FF1 of {count // 2:,} strings of 16 digits", lambda many: of_digits(many // 2)),
            (f"AES-SIV of {count // 4:,} strings", lambda many: of_sealed(many // 4)),
        ):
            measure(report, name, works(count), rounds)
        memory(report, count)
    report.close()


if __name__ == "__main__":
    main()
