"""The examples fit the host they are written for."""

import importlib.util
import json
from pathlib import Path

import pytest

from yoi.packages.manifest import Manifest
from yoi.protocol import answers
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import Commands
from yoi.types import SessionId

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("folder", sorted(path.parent for path in EXAMPLES.glob("*/plugin.toml")))
def test_every_manifest_is_accepted(folder):
    manifest = Manifest.parse((folder / "plugin.toml").read_bytes())
    assert manifest.id == folder.name
    assert (folder / "README.md").is_file()


@pytest.fixture
def component():
    spec = importlib.util.spec_from_file_location("app", EXAMPLES / "component-echo" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WitWorld()


def test_the_component_speaks_the_public_world(component):
    text = json.dumps({"type": "message", "id": 7, "text": "hi"})
    event = TextFrame("events", "gateway", SessionId("s1"), 1, text, 1_700_000_000_000, len(text))
    outcome = answers.decode_ingress(
        component.handle_ingress("events", answers.encode_event(event)), event
    )
    assert isinstance(outcome, Commands)
    [command] = outcome.commands
    assert command.kind == "websocket_send"
    assert json.loads(command.payload["text"]) == {"type": "reply", "to": 7, "text": "hi"}
    assert answers.decode_lifecycle(component.start("null"))["state"] == "ready"
    assert answers.decode_lifecycle(component.status())["data"] == {"answered": 1}
    assert json.loads(component.handle_tool("shout", '{"text": "a"}')) == {"summary": "A"}
    assert answers.decode_lifecycle(component.stop())["state"] == "stopped"
