"""P2, P7: what can be said without running anything; bounded, escaped and as JSON."""

import json
import re
from pathlib import Path

import pytest

from yoi.limits import LIMITS
from yoi.packages import Status, eligibility, inspect, read_package
from yoi.packages.source import PythonEntry, source_problems
from yoi.permissions import PermissionSet, UrlTarget

BOMB = """
import sys
sys.exit("executed")
class Echo: pass
"""

TOML = (Path(__file__).parent / "echo.toml").read_text()


def test_nothing_is_executed(workspace):
    inspection = inspect(workspace.write(plugin=BOMB), None)
    assert inspection.status is Status.DISABLED
    assert inspection.findings == ()


def test_a_fully_granted_package_is_active(workspace):
    package = workspace.write()
    inspection = inspect(package, workspace.entry(package))
    assert inspection.status is Status.ACTIVE
    assert {(one.kind, one.name) for one in inspection.surfaces} == {
        ("tool", "say"),
        ("service", "chat"),
        ("ingress", "events"),
        ("connection", "gateway"),
    }
    assert inspection.review.complete


def test_what_is_not_granted_is_named(workspace):
    """P5: the connection is its own permission, beside its target."""
    package = workspace.write()
    requested = package.manifest.requested
    without = PermissionSet(
        tuple(one for one in requested.permissions if one.kind != "connection"),
        requested.websocket,
    )
    inspection = inspect(package, workspace.entry(package, granted=without))
    assert inspection.status is Status.PARTIAL
    (refused,) = [one for one in inspection.surfaces if not one.eligible]
    assert refused.name == "gateway"
    assert "not granted" in refused.reason
    nothing = inspect(package, workspace.entry(package, granted=PermissionSet()))
    assert nothing.status is Status.REJECTED


def test_a_connection_that_is_opened_later_needs_a_target_that_could_allow_it(workspace):
    toml = re.sub(
        r'\nurl = "[^"]*"',
        '\nopen = "command"\ntarget = { scheme = "wss", host = "*.example.com" }',
        TOML,
    )
    package = workspace.write(toml)
    requested = package.manifest.requested
    assert package.manifest.connections[0].url is None
    whole = inspect(package, workspace.entry(package))
    assert whole.status is Status.ACTIVE
    (link,) = [one for one in whole.surfaces if one.kind == "connection"]
    assert (link.details["url"], link.details["open"]) == (None, "command")
    elsewhere = UrlTarget.parse({"scheme": "wss", "host": "other.test"})
    for granted, words in (
        (PermissionSet(requested.permissions, (elsewhere,)), "no granted target meets"),
        (PermissionSet((), requested.websocket), "not granted"),
    ):
        found = inspect(package, workspace.entry(package, granted=granted))
        (link,) = [one for one in found.surfaces if one.kind == "connection"]
        assert not link.eligible
        assert words in link.reason


def test_an_external_write_tool_needs_that_permission(workspace):
    package = workspace.write()
    granted = PermissionSet.parse(
        [{"kind": "surface", "surface": "tool"}, {"kind": "tool", "name": "say"}]
    )
    inspection = inspect(package, workspace.entry(package, granted=granted))
    tool = inspection.surfaces[0]
    assert (tool.eligible, "external_write" in tool.reason) == (False, True)


def test_a_surface_that_is_not_enabled_is_not_eligible(workspace):
    package = workspace.write()
    entry = workspace.entry(package, surfaces=frozenset({"tool"}))
    eligible = {one.kind for one in inspect(package, entry).surfaces if one.eligible}
    assert eligible == {"tool"}


def test_a_connection_needs_its_ingress_too(workspace):
    package = workspace.write()
    requested = package.manifest.requested
    kept = tuple(one for one in requested.permissions if one.label != "ingress.events")
    workspace.enable(package, granted=PermissionSet(kept, requested.websocket))
    (plugin,) = workspace.resolve().plugins
    refused = {one.kind: one.reason for one in eligibility(plugin) if not one.eligible}
    assert set(refused) == {"ingress", "connection"}
    assert "ingress.events" in refused["connection"]


def test_a_changed_digest_is_a_finding(workspace):
    old = workspace.write()
    new = workspace.write(plugin="class Echo:\n    x = 1\n")
    inspection = inspect(new, workspace.entry(old))
    assert inspection.status is Status.REJECTED
    assert [one.code for one in inspection.findings] == ["enablement.digest"]


def test_a_config_that_does_not_fit_is_a_finding(workspace):
    package = workspace.write()
    inspection = inspect(package, workspace.entry(package, config={"word": 1}))
    assert [(one.code, one.at) for one in inspection.findings] == [("config.value", "config.word")]


def test_the_json_is_plain_bounded_and_escaped(workspace):
    hostile = "\\u001b[2J\\u202e" + "x" * 200
    package = workspace.write(
        TOML.replace('name = "Echo"', 'name = "\\u001b[31mEcho"')
        .replace('version = "0.1.0"', 'version = "0.1.0\\u0007"')
        .replace("external_write = true", f'description = "{hostile}"')
    )
    text = json.dumps(inspect(package, workspace.entry(package)).to_json(), ensure_ascii=False)
    assert "\x1b" not in text
    assert "\\u001b" not in text
    assert "\u202e" not in text
    assert "token=hidden" not in text
    assert len(text) < 64 * 1024


def test_a_component_must_look_like_one(workspace):
    runtime = '[runtime]\nkind = "wasm-component"\ncomponent = "a.wasm"\n'
    runtime += 'world = "yoi:plugin/instance@1.0.0"\n\n'
    start, end = TOML.index("[runtime]"), TOML.index("[[tools]]")
    workspace.source.mkdir()
    (workspace.source / "plugin.toml").write_text(TOML[:start] + runtime + TOML[end:])
    (workspace.source / "a.wasm").write_bytes(b"#!/bin/sh")
    findings = inspect(read_package(workspace.source), None).findings
    assert [one.at for one in findings] == ["runtime.component"]
    (workspace.source / "a.wasm").write_bytes(b"\0asm\x0d\0\1\0")
    assert inspect(read_package(workspace.source), None).findings == ()


def problems(source):
    return source_problems(PythonEntry.parse("plugin:Echo"), {"plugin.py": source})


@pytest.mark.parametrize(
    "source",
    [
        b"class Echo: pass\n",
        b"from impl import Echo\n",
        b"Echo = make()\n",
        b"if True:\n    class Echo: pass\n",
        b"try:\n    from a import Echo\nexcept ImportError:\n    Echo = None\n",
        b"from impl import *\n",
        b"Echo: type = make()\n",
        b"x = '\\d'\nclass Echo: pass\n",
        b"\xef\xbb\xbfclass Echo: pass\n",
        b"#" * (LIMITS.python_source_bytes + 1),
        b"# -*- coding: latin-1 -*-\n# \xe9\nclass Echo: pass\n",
    ],
    ids=range(11),
)
def test_entries_that_may_be_there(source):
    assert problems(source) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "does not define Echo"),
        (b"def f():\n    class Echo: pass\n", "does not define Echo"),
        (b"class Echo(:\n", "line 1"),
        (b"\xff\xfe", "plugin.py"),
        (b"class Echo: pass\0\n", "plugin.py"),
        (b"# coding: no-such\n", "plugin.py"),
        (b"x = " + b"(" * 5000, "plugin.py"),
        (b"x = " + b"-" * 100_000 + b"1\n", "plugin.py"),
        (b"x = " + b"9" * 5000 + b"\n", "plugin.py"),
        (b"x" + b".a" * 50_000 + b"\n", "plugin.py"),
    ],
    ids=range(10),
)
def test_source_that_cannot_be_used(source, words):
    (problem,) = problems(source)
    assert words in problem.message
