"""What reads bytes from others, each as a function of any bytes: only the documented error may escape.

`TARGETS` maps names to functions; `SEEDS` to valid inputs that a fuzzer changes. `test_targets.py` runs them
with hypothesis in every test run, `by_coverage.py` with atheris by hand. A first byte, where one is needed
to cut or to choose, is taken from the input itself.
"""

import contextlib
import itertools
import struct

from ringfort.gateway import ipc
from ringfort.ledger import checkpoint, entry, note, proof, tiles
from ringfort.ledger import evidence as sealed
from ringfort.ledger.entry_templates import AdmittedReader, AdmittedTemplate, StatementForm
from ringfort.ledger.errors import LedgerError
from ringfort.pgwire import backend as be
from ringfort.pgwire import evidence, redaction, scanner
from ringfort.pgwire import frontend as fe
from ringfort.pgwire.errors import AuthenticationFailedError, ProtocolViolationError, StartupRefusedError
from ringfort.pgwire.exchange import MAX_MESSAGE, STREAM_ABOVE, Exchange
from ringfort.pgwire.framing import FrameReader
from ringfort.pgwire.parameters import read_parameters
from ringfort.pgwire.scram import ScramClient, ScramServer, Verifier, mock_verifier
from ringfort.pgwire.startup import StartupMessage, parse_startup, serialise_startup, split_packet
from ringfort.record import frames, journal, records
from ringfort.record.errors import JournalError

LIMIT = 300
_CUTS = [0, 1, 2, 5, 7, 64, 4_096]


def _pieces(data):
    """The bytes cut as their first byte says."""
    size = _CUTS[data[0] % len(_CUTS)] if data else 0
    body = data[1:]
    return [body[at : at + size] for at in range(0, len(body), size)] if size else [body]


def _framed(pieces):
    reader, found = FrameReader(LIMIT, fe.KINDS), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while kind := reader.next():
                found.append((kind, reader.oversize, reader.data[reader.start : reader.end]))
            assert reader.buffered <= LIMIT
            assert reader.idle or reader.buffered or reader._skip
    except ProtocolViolationError as error:
        found.append(error.message)
    return found


def frame_reader(data):
    pieces = _pieces(data)
    whole = _framed([data[1:]])
    cut = _framed(pieces)
    assert cut == whole


def frontend_message(data):
    if not data:
        return
    kind, body = fe.KINDS[data[0] % len(fe.KINDS)], data[1:]
    try:
        item = fe.parse_frontend(kind, body)
    except ProtocolViolationError:
        item = None
    else:
        assert fe.serialise_frontend(item)[5:] == body
    quick = {
        "Q": fe.read_query, "P": fe.read_parse, "B": fe.read_bind, "E": fe.read_execute,
        "D": fe.read_target, "C": fe.read_target,
    }.get(chr(kind))  # fmt: skip
    if quick is not None:
        try:
            quick(b"before" + body + b"behind\0", 6, 6 + len(body))
        except ProtocolViolationError:
            assert item is None
        else:
            assert item is not None


def backend_message(data):
    if data:
        try:
            item = be.parse_backend(data[0], data[1:])
        except ProtocolViolationError:
            return
        assert be.serialise_backend(item)[5:] == data[1:]


_DEBTS = 6


def _conversation(plan, pieces):
    """What an exchange that owes what `plan` says gives out for these pieces."""
    exchange, given = Exchange(row_limit=40, byte_limit=5_000), bytearray()
    for number in range(1, _DEBTS):
        if plan >> number & 1:
            exchange.query(number)
        elif plan & 1:
            exchange.run_unnamed(b"value", number)
        else:
            exchange.parse(b"s", b"text")
            exchange.refuse_step(b"E\0\0\0\x05\0")
            exchange.sync()
    for piece in pieces:
        if exchange.limit_reached or exchange.fatal:
            break
        try:
            given += b"".join(exchange.receive(piece))
        except ProtocolViolationError:
            return bytes(given), "violation"
        assert len(exchange._carry) <= MAX_MESSAGE + STREAM_ABOVE
    assert exchange.rows <= 40
    assert exchange.bytes <= 5_000
    return bytes(given), exchange.ended, exchange.rows, exchange.bytes, exchange.status, exchange.skipping


def site_conversation(data):
    if len(data) < 2:
        return
    whole = _conversation(data[1], [data[2:]])
    cut = _conversation(data[1], _pieces(data[:1] + data[2:]))
    # where the stream breaks a rule or ends the session, what came whole before that may have been given
    if whole[1] != "violation" and cut[1] != "violation":
        assert cut == whole
    else:
        assert whole[1] == cut[1] == "violation"


def _plain_run(data, kind, most):
    position = rows = 0
    while position + 5 <= len(data) and rows < most:
        code, length = struct.unpack_from(">BI", data, position)
        if code != kind:
            break
        if length < (6 if kind == 0x44 else 4):
            raise ProtocolViolationError("length")
        if position + 1 + length > len(data):
            break
        position += 1 + length
        rows += 1
    return position, rows


def _or_violation(what, *arguments):
    try:
        return what(*arguments)
    except ProtocolViolationError:
        return "violation"


def row_scanner(data):
    if len(data) < 2:
        return
    kind, most = b"Dd"[data[0] & 1], [1, 30, 10**9][data[1] % 3]
    times = 1 + (data[0] >> 1)
    stream = data[2:] * times
    plain = _or_violation(_plain_run, stream, kind, most)
    assert _or_violation(scanner.skip_run, stream, 0, len(stream), kind, most) == plain


def startup(data):
    try:
        split = split_packet(data)
        if split is None:
            assert len(data) < 10_000
            return
        packet = parse_startup(split[0])
        assert serialise_startup(packet) == data[: len(data) - len(split[1])]
        if isinstance(packet, StartupMessage):
            read_parameters(packet)
    except (ProtocolViolationError, StartupRefusedError):
        pass


_VERIFIER = Verifier(4096, bytes(16), bytes(32), bytes(32))


def scram(data):
    first, _, final = data.partition(b"\n")
    for server_side in (True, False):
        try:
            if server_side:
                server = ScramServer(_VERIFIER, "server-nonce")
                server.first(first)
                server.final(final)
                raise AssertionError("a proof was made by chance")
            client = ScramClient("client-nonce")
            client.challenge(first)
            client.final(bytes(32))
            client.verify(final)
            raise AssertionError("a signature was made by chance")
        except (AuthenticationFailedError, ProtocolViolationError):
            pass
    mock_verifier(first.decode("utf-8", "replace"), b"key")


_TELLING = b"DWcntsdpqFLR"


def redacted(data):
    for redact in (redaction.redact_error, redaction.redact_notice):
        try:
            got = redact(data)
        except ProtocolViolationError:
            continue
        framed = got if isinstance(got, bytes) else got[0]
        if framed:
            fields = be.parse_backend(framed[0], framed[5:]).fields
            assert not {ord(each) for each in fields} & set(_TELLING)
            assert all(len(value) <= 2_000 for value in fields.values())
            assert fields["C"].isalnum()


def statement_evidence(data):
    with contextlib.suppress(ProtocolViolationError):
        evidence.read_evidence(data)


_READER = AdmittedReader()


def ledger_entry(data):
    known = _READER.read(data)
    try:
        read = entry.decode(data)
    except LedgerError:
        assert known is None
        return
    assert entry.encode(read) == data
    if known is not None:
        assert known == (read.evidence, read.control)


def signed_text(data):
    for read in (note.parse_note, checkpoint.parse_unverified, proof.parse_proof):
        with contextlib.suppress(LedgerError):
            read(data)
    with contextlib.suppress(LedgerError):
        tiles.decode_bundle(data[1:], 1 + data[0] if data else 1)


_FRAME_READERS = [
    frames.read_json, frames.traffic_items, frames.read_append, frames.read_reply, frames.read_control,
    frames.read_ack,
]  # fmt: skip


def ledger_frames(data):
    def read(pieces):
        reader, found = frames.FrameReader(), []
        for piece in pieces:
            try:
                found += reader.feed(piece)
            except frames.FrameError:
                return "refused"
        return found

    pieces = _pieces(data)
    whole, cut = read([data[1:]]), read(pieces)
    assert whole == cut
    for payload in [data, *(payload for _, payload in (whole if isinstance(whole, list) else []))]:
        for decode in _FRAME_READERS:
            with contextlib.suppress(frames.FrameError):
                decode(payload)


def ipc_frames(data):
    def read(pieces):
        reader, found = ipc.FrameReader(), []
        for piece in pieces:
            try:
                found += reader.feed(piece)
            except ipc.FrameError:
                return "refused"
        return found

    assert read([data[1:]]) == read(_pieces(data))


def journal_segment(data):
    for read in (lambda: journal.scan_segment(data, 1), lambda: records.decode_records(data)):
        with contextlib.suppress(JournalError):
            read()
    found, end = sealed.scan_records(data)
    assert b"".join(sealed.encode_record(each.number, each.sealed) for each in found) == data[:end]


TARGETS = {
    each.__name__: each
    for each in (
        frame_reader, frontend_message, backend_message, site_conversation, row_scanner, startup, scram,
        redacted, statement_evidence, ledger_entry, signed_text, ledger_frames, ipc_frames, journal_segment,
    )
}  # fmt: skip

_SAID = [
    fe.Query(b"SELECT 1"), fe.Parse(b"s", b"SELECT $1", (23,)), fe.Bind(b"", b"s", (1,), (b"v", None), (0,)),
    fe.Describe(b"P", b""), fe.Execute(b"", 5), fe.Close(b"S", b"s"), fe.Sync(), fe.CopyFail(b"no"),
]  # fmt: skip
_STREAM = b"".join(map(fe.serialise_frontend, _SAID))
_TELL = {"S": b"ERROR", "V": b"ERROR", "C": b"23505", "M": b"KEPT-BACK", "D": b"KEPT-BACK", "P": b"7"}
_ANSWERS = [
    be.RowDescription((be.Column(b"a"),)), be.DataRow((b"x", None)), be.DataRow((b"y" * 30,)),
    be.CommandComplete(b"SELECT 2"), be.ReadyForQuery(b"I"), be.Simple(b"1"), be.Simple(b"2"),
    be.ErrorResponse(_TELL), be.NoticeResponse(_TELL), be.ParameterStatus(b"TimeZone", b"UTC"),
]  # fmt: skip
_REPLY = b"".join(map(be.serialise_backend, [*_ANSWERS[:5], *_ANSWERS[7:], _ANSWERS[4]]))
_RUN = b"".join(map(be.serialise_backend, [_ANSWERS[6], *_ANSWERS[:5]]))
_ENTRY = AdmittedTemplate("worker-0", "s1").render(
    3, 17, StatementForm("read", "{}"), "ab" * 32, "2026-11-01T00:00:00.000000Z"
)
_START = StartupMessage(
    0, ((b"user", b"a"), (b"database", b"d"), (b"options", b"-c ringfort.purpose=x -c\\ jit=off"))
)
_HASH = "q" * 43 + "="
SEEDS = {
    "frame_reader": [b"\x02" + _STREAM, b"\x04" + fe.serialise_frontend(fe.Query(b"x" * 400)) + _STREAM],
    "frontend_message": [
        bytes([fe.KINDS.index(framed[0])]) + framed[5:] for framed in map(fe.serialise_frontend, _SAID)
    ],
    "backend_message": [framed[:1] + framed[5:] for framed in map(be.serialise_backend, _ANSWERS)],
    "site_conversation": [b"\x03\xff" + _REPLY, b"\x03\x01" + _RUN * 3, b"\x05\xfe" + _REPLY * 2],
    "row_scanner": [b"\xfe\x02" + be.serialise_backend(each) for each in _ANSWERS[1:3]],
    "startup": [serialise_startup(_START), serialise_startup(StartupMessage(2, ((b"_pq_.x", b"y"),)))],
    "scram": [
        b"n,,n=,r=abc\nc=biws,r=abcserver-nonce,p=" + b"A" * 43 + b"=",
        b"r=client-nonceX,s=AAAA,i=4096\nv=AA",
    ],
    "redacted": [be.serialise_backend(_ANSWERS[7])[5:]],
    "statement_evidence": [
        evidence.bound(evidence.prefix(b"SELECT $1", b"\0\0"), bytes(6)) + bytes(4),
    ],
    "ledger_entry": [_ENTRY, entry.canonical({"type": "GatewayStopped", "v": 1, "actor": "a", "time": ""})],
    "signed_text": [
        f"ringfort.example/log\n17\n{_HASH}\n\n\N{EM DASH} ringfort.example/log {_HASH}\n".encode(),
        b"\x01" + tiles.encode_bundle([b"one", b"two"]),
    ],
    "ledger_frames": [
        b"\x03" + frames.frame(frames.TRAFFIC, frames.ITEM.pack(0, 3, 2) + b"abcde"),
        b"\x01" + frames.frame(frames.APPEND, frames.append_payload(1, [b"e"], [b"b"], (("policy",), 3))),
        b"\x02" + frames.control_frame(5, [b"one", b"two"]) + frames.ack([(3, True), (1, False)]),
    ],
    "ipc_frames": [b"\x03" + ipc.encode_frame({"id": 1, "op": "verdict", "sql": "SELECT 1"}) * 2],
    "journal_segment": [
        journal._segment_header(1, 1, bytes(32)) + bytes(600),
        records.encode_records([records.TrafficRecord("2026-11", 3, (b"a", b"b")), records.BlobRecord(b"x")]),
        sealed.encode_record(7, b"sealed"),
    ],
}  # fmt: skip
assert SEEDS.keys() == TARGETS.keys()
NUMBERS = list(
    itertools.chain.from_iterable((n.to_bytes(4, "big"), n.to_bytes(2, "big")) for n in (0, 1, 3, 4, 0x7FFF))
)
NUMBERS += [each.to_bytes(4, "big") for each in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x3FFFFFFF, 0x00100000)]

__all__ = ["NUMBERS", "SEEDS", "TARGETS"]
