"""The console's fold (assets/view.js) is the fold of Python, event for event, under node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.backend.histories import checked, history

from yoi.display import printable
from yoi.limits import LIMITS

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "src" / "yoi" / "backend" / "console" / "assets"
NODE = shutil.which("node")
TEXTS = [
    ("plain", 512),
    ("a\x1b[31mred\x07", 512),
    ("\u202eevil\u2066", 512),
    ("line\nbreak\ttab", 512),
    ("😀 naïve 漢字 e\u0301", 512),
    ("\U000e0001\ufeff\xad", 512),
    ("main\u3164\u034f\u115f\u2800\ufe00\U000e0101\uffa0\u180b", 512),
    ("\u2764\ufe0f\ufe0f \u2714\ufe0e main\ufe0f \ufe0f", 512),
    ("x" * 50, 10),
    ("😀" * 50, 10),
    ("\x00" * 50, 10),
    ("", 0),
]

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The assets where node takes them for modules."""
    folder = tmp_path_factory.mktemp("console")
    shutil.copytree(ASSETS, folder / "assets")
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder / "assets" / "view.js"


def folded(module, histories, texts=()):
    asked = json.dumps({"histories": histories, "texts": list(texts)})
    ran = subprocess.run(
        [NODE, str(HERE / "fold.mjs"), str(module)],
        input=asked,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_random_histories_give_the_same_snapshots(module):
    histories = [history("worker", seed, 150) for seed in range(60)]
    histories += [history("service", seed, 150) for seed in range(20)]
    histories += [history("board", seed, 60) for seed in range(4)]
    answer = folded(module, histories)
    assert answer["differences"] == []
    assert answer["checks"] == sum(len(one["checks"]) for one in histories) > 1000


def test_the_bound_in_bytes_falls_on_the_same_entry(module):
    texts = ["é" * 40_000, "😀" * 20_000, '"' * 70_000, "\x01" * 30_000, "x" * 90_000]
    first = {
        "entries": [],
        "greeting": {"worker_name": "", "provider": "", "model": "", "tools": []},
    }
    payloads = [{"event": "snapshot", "data": {**first, "status": "idle"}}]
    for seq in range(1, 41):
        segments = [{"kind": "text", "text": texts[seq % len(texts)]}]
        payloads.append({"event": "user_message", "data": {"segments": segments, "seq": seq}})
    made = checked("worker", payloads)
    assert made["checks"][-1][1]["data"]["left_out"] > 0
    assert folded(module, [made])["differences"] == []


def test_a_difference_would_be_found(module):
    made = history("worker", 1, 50)
    made["checks"][-1][1]["data"]["status"] = "elsewhere"
    assert len(folded(module, [made])["differences"]) == 1


def test_bounds_and_escapes_are_those_of_python(module):
    answer = folded(module, [], TEXTS)
    assert answer["limits"] == {name: getattr(LIMITS, name) for name in answer["limits"]}
    assert answer["texts"] == [printable(text, most) for text, most in TEXTS]
