"""The PDK never imports Yoi, so its bounds are written twice; they must be equal."""

import ast
import sys
from pathlib import Path

from yoi_pdk import limits as pdk
from yoi_pdk.events import KINDS

from yoi.limits import LIMITS
from yoi.protocol.ingress import EventKind

PDK = Path(__file__).parents[2] / "pdk/python/src/yoi_pdk"


def test_the_bounds_are_the_hosts():
    assert pdk.COMMANDS_PER_EVENT == LIMITS.commands_per_event
    assert pdk.COMMAND_PAYLOAD_BYTES == LIMITS.command_payload_bytes
    assert pdk.ID_BYTES == LIMITS.name_bytes
    assert pdk.STATUS_BYTES == LIMITS.config_bytes


def test_every_kind_of_event_has_a_class():
    assert set(KINDS) == set(EventKind) - {EventKind.TEXT}


def test_the_pdk_imports_nothing_but_itself_and_the_standard_library():
    for path in PDK.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top == "yoi_pdk" or top in sys.stdlib_module_names, f"{path.name}: {name}"
