"""One parser under a coverage-guided fuzzer: python -m fuzzing.guided TARGET SECONDS SEED CORPUS

Runs in the environment of `make fuzz`, which has atheris (libFuzzer for Python). Exit status 0 is
nothing found; what is found is printed and kept in CORPUS as `crash-...`.
"""

import json
import sys
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["yoi"]):
    from yoi.core.continuity import SequenceWatch
    from yoi.core.frame_search import PointerReader
    from yoi.core.frame_watch import Autoreply, FrameWatch
    from yoi.core.insertion import insert_into, parse_insertions, value_at
    from yoi.errors import YoiError
    from yoi.packages.archive import read_archive
    from yoi.packages.manifest import Manifest
    from yoi.permissions import JsonPointer
    from yoi.permissions.connection_settings import LastValue
    from yoi.permissions.match import Match, json_equal
    from yoi.permissions.sequence import SequenceSettings
    from yoi.protocol import answers, lean
    from yoi.protocol import observation as ob
    from yoi.protocol.commands import parse_payload
    from yoi.protocol.cursors import CursorCodec, CursorFault, CursorKeys
    from yoi.protocol.depth import more_values_than, parsed_bytes
    from yoi.protocol.ingress import TextFrame
    from yoi.protocol.outcomes import Commands
    from yoi.protocol.tool_answer import parse_tool_answer
    from yoi.types import SessionId

ROOT = Path(__file__).resolve().parent.parent
_NOW = "2026-01-01T00:00:00.000Z"
_EVENTS = [TextFrame("in", "gw", SessionId("s"), n, "x", 0, 1) for n in (1, 2, 3)]
_CODEC = CursorCodec(
    CursorKeys(b"new.", {b"new.": b"n" * 32}),
    ob.Hop.BACKEND,
    ob.Subject(ob.SubjectKind.WORKER, "w", "r"),
    "all",
)


def manifest(data: bytes) -> None:
    """A manifest is refused with a code, or says what it asks for in tables."""
    try:
        parsed = Manifest.parse(data)
    except YoiError:
        return
    parsed.requested.to_tables()


def archive(data: bytes) -> None:
    """An archive is refused with a code, or is plain files by safe names."""
    try:
        files = read_archive(data)
    except YoiError:
        return
    for name in files:
        assert not name.startswith("/")
        assert ".." not in name.split("/")


def answer(data: bytes) -> None:
    """Whatever a guest answers is refused with a code, or is outcomes and typed commands."""
    text = data.decode("utf-8", "replace")
    outcomes = [answers.decode_ingress(text, _EVENTS[0])]
    with suppress(YoiError):
        outcomes += lean.decode_answer(text, _EVENTS, _NOW)
    for outcome in outcomes:
        if isinstance(outcome, Commands):
            for command in outcome.commands:
                _payload(command.kind, command.payload)
    for decode in (answers.decode_lifecycle, lambda text: parse_tool_answer(text, "t", "c", _NOW)):
        with suppress(YoiError):
            decode(text)


def _payload(kind: str, payload: dict[str, object]) -> None:
    with suppress(YoiError):
        parsed = parse_payload(kind, payload)
        document, insert = getattr(parsed, "document", None), getattr(parsed, "insert", ())
        if insert:
            insert_into(document, parse_insertions(insert), lambda _: "value")


def frame(data: bytes) -> None:
    """A frame that a server sends is looked through, counted and measured, whatever it is."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    assert more_values_than(100, text) == more_values_than(100, data)
    assert parsed_bytes(text) >= 0
    places = [JsonPointer.parse(at) for at in ("/s", "/d/id", "/d/0", "/a/b/c", "/1")]
    watch = FrameWatch([LastValue(str(n), at) for n, at in enumerate(places)])
    watch.ack = Match(places[0], (11,))
    watch.replies = [
        Autoreply(Match(places[1], ({},)), lambda *_: "", tuple(places)),
        Autoreply(Match(None, prefix=text[:1] or "x"), lambda *_: "", rest=True),
    ]
    watch.look(text)
    _agrees(text, places)
    numbers = SequenceWatch(SequenceSettings(places[0], places[4], None, places[1]))
    for part in (text, text[: len(text) // 2], text):
        numbers.judge(SessionId("s"), part, 1)
    try:
        found = ob.decode_frame(data)
    except YoiError:
        return
    if not isinstance(found, ob.UnknownFrame):
        ob.decode_frame(ob.encode_frame(found))


def _agrees(text: str, places: list[JsonPointer]) -> None:
    """The host finds what the guest's `json` finds, or says that it does not know."""
    found = PointerReader(places).read(text)
    if found is None:
        return
    try:
        document = json.loads(text)
    except ValueError:
        assert not found
        return
    for at, value in found.items():
        assert json_equal(value_at(document, at), value)


def cursor(data: bytes) -> None:
    """No bytes but the codec's own are a cursor."""
    read = _CODEC.decode(data.decode("latin-1"))
    if not isinstance(read, CursorFault):
        assert data.decode("latin-1") in _cursors()


def _cursors() -> list[str]:
    return [_CODEC.encode(bytes([n]) * 8, n) for n in range(4)]


def _zip(level: int) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", level) as made:
        made.writestr("plugin.toml", "schema_version = 1\n")
        made.writestr("plugin.py", "x = 1\n" * 50)
    return packed.getvalue()


def _manifests() -> Iterable[bytes]:
    for path in sorted((ROOT / "tests" / "packages" / "golden").rglob("*.toml")):
        yield path.read_bytes()


def _answers() -> Iterable[bytes]:
    kinds = (
        '"websocket_send",{"json":{"a":null},"insert":[{"at":"/a","secret":"s"}],"session":"source"}',
        '"websocket_open",{"connection":"g","url":"wss://a","headers":{"a":"b"},"query":{"c":"d"}}',
        '"websocket_heartbeat",{"connection":"g","every_ms":5000,"json":{},"ack":{"at":"/a","equals":1}}',
        '"websocket_autoreply",{"connection":"g","when":{"at":"/a","equals":1},"json":{"b":0},'
        '"copy":[{"from":"/a","to":"/b"}]}',
        '"websocket_autoreply",{"connection":"g","when":{"at":"","prefix":"P "},"text":"p ",'
        '"copy_rest":true}',
        '"websocket_heartbeat",{"connection":"g","every_ms":5000,"parts":["4",{"n":null}],'
        '"insert":[{"at":"/1/n","counter":"session"}],"ack":{"at":"","one_of":["3","x"]}}',
        '"request",{"target":"t","method":"GET","path":"/","capture":["c"]}',
        '"state_set",{"key":"k","value":[1]}',
        '"timer_set",{"name":"t","after_ms":10}',
        '"notify",{"worker":"w","text":"t"}',
        '"diagnostic_status_update",{"status":{"a":[]},"message":"m"}',
    )
    for kind in kinds:
        yield f"[null,[[null,{kind}]],2]\nab".encode()
    yield b'{"output_commands":[],"error":{"code":"c","message":"m"}}'
    yield b'{"summary":"s","output_commands":[{"kind":"notify","payload":{},"command_id":null}]}'
    yield b'{"state":"failed","data":{}}'


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterable[bytes]]]] = {
    "manifest": (manifest, _manifests),
    "archive": (archive, lambda: [_zip(zipfile.ZIP_STORED), _zip(zipfile.ZIP_DEFLATED)]),
    "answer": (answer, _answers),
    "frame": (
        frame,
        lambda: [
            b'{"s":11,"d":{"id":{},"0":1},"a":{"b":{"c":null}}}',
            b'[1,{"a":"\\u0073"}]',
            b'{"s":NaN,"d":{"id":"\\ud800"},"s":"18446744073709551616"}',
            ob.encode_frame(ob.BookmarkFrame("c", up_to_date=True)),
            ob.encode_frame(ob.ResumedFrame("c")),
        ],
    ),
    "cursor": (cursor, lambda: [one.encode() for one in _cursors()]),
}
"""Each with the bytes to begin from."""


def main() -> None:
    """Fuzz one target; libFuzzer ends the process."""
    name, seconds, seed, folder = sys.argv[1:5]
    target, seeds = TARGETS[name]
    corpus = Path(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    options = [
        "-max_len=16384", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
        "-verbosity=0", f"-max_total_time={seconds}", f"-seed={seed}",
        f"-artifact_prefix={corpus}/",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
