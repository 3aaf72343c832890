"""docs/reference/host-api.md says what the code does."""

import importlib.util
import re
from pathlib import Path

import yoi_pdk.context
import yoi_pdk.pull
from yoi.errors import CODES
from yoi.limits import LIMITS
from yoi.runtime.hostcalls import OPERATIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/host-api.md").read_text(encoding="utf-8")
WIT = (ROOT / "wit/host/1.0.0/host.wit").read_text(encoding="utf-8")


def test_every_call_is_listed_and_no_other():
    listed = re.findall(r"^\| `((?:state|request|websocket)\.[a-z-]+)` \|", PAGE, re.M)
    assert listed == list(OPERATIONS)


def test_the_wit_declares_every_call_and_no_other():
    declared = []
    for interface, body in re.findall(r"^interface (\w+) \{\n(.*?)^\}", WIT, re.M | re.S):
        declared += [
            f"{interface}.{name}" for name in re.findall(r"^  ([a-z-]+): func", body, re.M)
        ]
    assert set(declared) == {*OPERATIONS, "log.log"}


def test_the_figures_are_the_limits():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    rows = re.findall(r"\(`(\w+)`\) \| ([^|]+) \|", PAGE)
    assert len(rows) == 10
    for name, written in rows:
        assert written == generate._amount(name, getattr(LIMITS, name)), name


def test_every_code_exists():
    named = set(re.findall(r"`((?:request|service|sandbox|connection|denied)\.[a-z_]+)`", PAGE))
    unknown = {name for name in named if name not in CODES and name not in OPERATIONS}
    assert not unknown


def test_the_python_names_exist():
    for method in re.findall(r"`ctx\.(?:(state|websocket)\.)?(\w+)\(", PAGE):
        where, name = method
        owner = {
            "state": yoi_pdk.host.State,
            "websocket": yoi_pdk.pull.PullSockets,
            "": yoi_pdk.context.Context,
        }[where]
        assert hasattr(owner, name), method
    for name in re.findall(r"`socket\.(\w+)\(", PAGE):
        assert hasattr(yoi_pdk.pull.PullSocket, name)
