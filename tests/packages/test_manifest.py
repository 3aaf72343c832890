"""P1: plugin.toml is strict. Golden files hold what is read, and each refusal word for word.

After a deliberate change: `python tests/packages/test_manifest.py` rewrites the expected texts.
"""

import dataclasses
import json
from enum import Enum
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.display import printable
from yoi.errors import ManifestError
from yoi.limits import LIMITS
from yoi.packages import Manifest, PythonEntry
from yoi.permissions import Permission, PermissionKind, PermissionSet, Url, UrlTarget

GOLDEN = Path(__file__).parent / "golden"
GOOD = sorted((GOLDEN / "good").glob("*.toml"))
BAD = sorted((GOLDEN / "bad").glob("*.toml"))


def _plain(value):
    match value:
        case Url():
            return value.href
        case UrlTarget():
            return value.to_table()
        case PermissionSet():
            return value.to_tables()
        case PythonEntry():
            return str(value)
        case Enum():
            return value.value
        case frozenset():
            return sorted(map(_plain, value))
        case tuple() | list():
            return [_plain(one) for one in value]
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case _ if dataclasses.is_dataclass(value):
            named = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
            return _plain(named)
    return value


def described(path):
    """Return the parsed manifest at `path` as readable JSON."""
    return json.dumps(_plain(Manifest.parse(path.read_bytes())), indent=2, sort_keys=True) + "\n"


def refusal(path):
    """Return what the manifest at `path` ends in: code, path and message of each fault."""
    try:
        Manifest.parse(path.read_bytes())
    except ManifestError as exc:
        message = exc.message
        if exc.code == "manifest.toml" and exc.fields["line"]:
            # The words are the standard library's and change with it.
            message = message.partition(",")[0]
        lines = [exc.code, f"at: {exc.fields['at']}", message]
        for one in exc.fields.get("faults", ())[1:]:
            lines += ["", one["code"], f"at: {one['at']}", one["message"]]
        return "\n".join(lines) + "\n"
    return "accepted\n"


KEYS = (
    "id", "name", "surfaces", "runtime", "tools", "services", "ingresses", "connections", "target",
    "permissions", "websocket", "request", "config_schema", "type", "properties", "url", "headers",
    "ingress", "deliver", "sources", "kind", "entry", "input_schema", "default", "enum", "required",
)  # fmt: skip


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_manifests(path):
    assert described(path) == path.with_suffix(".json").read_text()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_manifests(path):
    assert refusal(path) == path.with_suffix(".txt").read_text()


def test_the_golden_files_are_paired():
    assert len(GOOD) > 4
    assert len(BAD) > 60
    assert not [path for path in GOOD if not path.with_suffix(".json").exists()]


def test_over_64_kib_is_not_parsed():
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(b"#" * (LIMITS.manifest_bytes + 1))
    assert caught.value.code == "manifest.too_large"


def test_bytes_that_are_not_utf8_have_a_line():
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(b"schema_version = 1\nid = '\xff'\n")
    assert caught.value.fields["line"] == 2


HEAD = b'schema_version = 1\nid = "a"\nname = "A"\nversion = "1"\n'
CODE = b'[runtime]\nkind = "python"\nrunner = "1"\nentry = "a:B"\n'


def test_a_declaration_is_the_request():
    """P5: a connection asks for its own permission and its own target; no pull API with it."""
    manifest = Manifest.parse(
        HEAD + CODE + b'[[ingresses]]\nname = "in"\n'
        b'[[connections]]\nname = "gate"\ningress = "in"\nurl = "wss://example.com/ws"\n'
    )
    kind = PermissionKind
    assert manifest.requested.has(Permission(kind.CONNECTION, "gate"))
    assert manifest.requested.has(Permission(kind.INGRESS, "in"))
    assert not manifest.requested.has(Permission(kind.HOST_API, "websocket"))
    assert [one.label for one in manifest.requested.websocket] == ["wss://example.com /ws"]


def test_source_names_are_deterministic_and_never_take_a_declared_one():
    manifest = Manifest.parse(
        HEAD
        + CODE
        + b'[[ingresses]]\nname = "in"\nsources = ["wss://a.example/", "wss://b.example/"]\n'
        b'[[ingresses]]\nname = "other"\nsources = ["wss://a.example/"]\n'
        b'[[connections]]\nname = "in-1"\ningress = "in"\nurl = "wss://c.example/"\n'
    )
    names = [(one.name, one.url.host) for one in manifest.connections]
    assert names == [
        ("in-1", "c.example"),
        ("in-2", "a.example"),
        ("in-3", "b.example"),
        ("other", "a.example"),
    ]


def test_hooks_are_accepted_and_ignored_with_a_warning():
    manifest = Manifest.parse(HEAD + b'[[hooks]]\nid = "before"\nfile = "hooks/before.txt"\n')
    assert [one.at for one in manifest.warnings] == ["hooks"]
    assert "hook" not in manifest.surfaces


@pytest.mark.parametrize(
    ("durability", "size", "told"),
    [("disk", 5 << 20, 1), ("memory", 5 << 20, 0), ("disk", 4 << 20, 0)],
)
def test_a_message_that_no_record_holds_is_told_beforehand(durability, size, told):
    manifest = Manifest.parse(
        HEAD
        + f"""
[runtime]
kind = "python"
runner = "1"
entry = "plugin:P"

[[ingresses]]
name = "in"
durability = "{durability}"

[[connections]]
name = "feed"
ingress = "in"
url = "wss://feed.example/"
target = {{ scheme = "wss", host = "feed.example", max_message_bytes = {size} }}
""".encode()
    )
    at = "connections.feed.target.max_message_bytes"
    assert [one.at for one in manifest.warnings] == [at] * told
    assert all(
        "a record of the ingress in on disk holds" in one.message for one in manifest.warnings
    )


@pytest.mark.parametrize(
    ("deadline", "told"),
    [
        ("", "up to 2560 ms, and the ingress in gives it 1000: write deadline_ms = 5500 for it"),
        ("deadline_ms = 2559", "gives it 2559: write deadline_ms = 5500 for it"),
        ("deadline_ms = 2560", None),
    ],
)
@pytest.mark.parametrize("size", ["connection", "answer"])
def test_what_is_too_large_to_be_read_in_time_is_told_beforehand(size, deadline, told):
    """N4: sizes agree with the deadline too, as benchmarks/large_json.py measured it."""
    most = 16 << 20
    bound = f", max_message_bytes = {most}" if size == "connection" else ""
    answer = f"\nmax_answer_bytes = {most}" if size == "answer" else ""
    manifest = Manifest.parse(
        HEAD
        + f"""
[runtime]
kind = "python"
runner = "1"
entry = "plugin:P"

[[ingresses]]
name = "in"
{deadline}

[[connections]]
name = "feed"
ingress = "in"
url = "wss://feed.example/"
target = {{ scheme = "wss", host = "feed.example"{bound} }}

[[request]]
scheme = "https"
host = "api.example"
methods = ["GET"]{answer}
""".encode()
    )
    at = {
        "connection": "connections.feed.target.max_message_bytes",
        "answer": "request[0].max_answer_bytes",
    }[size]
    assert [one.at for one in manifest.warnings] == [at] * (told is not None)
    assert all(one.message.endswith(told) for one in manifest.warnings)


def test_every_fault_is_told_at_once():
    toml = (GOLDEN / "bad" / "many-faults.toml").read_bytes()
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(toml)
    told = [one["at"] for one in caught.value.fields["faults"]]
    assert told == [
        "ids",
        "version",
        "runtime.entry",
        "tools[0].name",
        "tools[1].input_schema",
        "ingresses[0].deadline_ms",
        "permissions[0].kind",
        "request[0].methods",
        "config_schema.properties.a",
        "config_schema.properties.b",
    ]
    assert "(and 9 more faults)" in caught.value.message


def test_more_requests_than_a_person_can_review_are_refused():
    tools = b"".join(
        b'[[tools]]\nname = "t%d"\ninput_schema = { type = "object" }\n' % n for n in range(64)
    )
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(HEAD + CODE + tools)
    assert caught.value.code == "manifest.too_large"


TOML_VALUES = st.recursive(
    st.one_of(
        st.text(
            st.characters(codec="ascii", exclude_characters="\x7f", min_codepoint=32), max_size=8
        ),
        st.integers(-5, 5),
        st.booleans(),
        st.floats(allow_nan=True),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)


def _manifest_or_faults(toml):
    """Parse `toml`; whatever is wrong is a list of faults, each with the path of its key."""
    try:
        Manifest.parse(toml)
    except ManifestError as exc:
        faults = exc.fields.get("faults", [{"at": exc.fields["at"], "message": exc.message}])
        assert 0 < len(faults) <= LIMITS.toml_faults
        for fault in faults:
            assert isinstance(fault["at"], str)
            assert fault["message"].startswith("plugin.toml: " + printable(fault["at"], 100)[:99])


@settings(max_examples=250)
@given(st.dictionaries(st.sampled_from(KEYS), TOML_VALUES, max_size=6))
def test_any_document_ends_in_a_manifest_or_a_manifest_error(extra):
    document = {"schema_version": 1, "id": "a", "name": "A", "version": "1"} | extra
    _manifest_or_faults(tomlkit.dumps(document).encode())


@settings(max_examples=150)
@given(st.sampled_from(GOOD), st.data())
def test_mutated_manifests_raise_nothing_else(path, data):
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    _manifest_or_faults(bytes(text))


if __name__ == "__main__":
    for one in GOOD:
        one.with_suffix(".json").write_text(described(one))
    for one in BAD:
        one.with_suffix(".txt").write_text(refusal(one))
