"""The PDK never imports Yoi, so its bounds are written twice; they must be equal."""

import ast
import sys
from pathlib import Path

from yoi_runner import dispatch

from yoi.limits import LIMITS
from yoi.protocol.ingress import EventKind
from yoi_pdk import limits as pdk
from yoi_pdk.events import KINDS

PDK = Path(__file__).parents[2] / "pdk/python/src/yoi_pdk"


def test_the_bounds_are_the_hosts():
    assert LIMITS.commands_per_event == pdk.COMMANDS_PER_EVENT
    assert LIMITS.command_payload_bytes == pdk.DOCUMENT_BYTES
    assert LIMITS.message_max_bytes == pdk.MESSAGE_BYTES
    assert LIMITS.name_bytes == pdk.ID_BYTES
    assert LIMITS.config_bytes == pdk.STATUS_BYTES
    for name in (
        "POINTER_CHARS",
        "INSERTIONS",
        "CAPTURES",
        "HANDSHAKE_HEADERS",
        "CLOSE_REASON_BYTES",
        "HEARTBEAT_MIN_MS",
        "HEARTBEAT_MAX_MS",
        "TIMER_MIN_MS",
        "TIMER_MAX_MS",
        "REQUEST_HEADERS",
        "STATE_VALUE_BYTES",
        "DEFERRED_MAX_MS",
    ):
        assert getattr(LIMITS, name.lower()) == getattr(pdk, name), name


def test_every_kind_that_a_connection_delivers_has_a_class():
    """Kinds of the host's own making may arrive as a plain Event."""
    about_connections = {kind for kind in EventKind if kind.startswith(("websocket_", "command_"))}
    assert about_connections - {EventKind.TEXT, EventKind.BINARY} <= set(KINDS) <= set(EventKind)


def test_the_pdk_imports_nothing_but_itself_and_the_standard_library():
    for path in PDK.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.partition(".")[0]
                assert top == "yoi_pdk" or top in sys.stdlib_module_names, f"{path.name}: {name}"


def test_the_largest_answer_of_a_batch_is_within_the_hosts_bound():
    before_the_last = 4 * (dispatch._BATCH_CHARS + dispatch._SHORT)
    last = max(dispatch._EVENT_CHARS, LIMITS.command_payload_bytes)
    assert before_the_last + last + LIMITS.batch_events * 1024 < LIMITS.answer_bytes
