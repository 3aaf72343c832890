"""Every benchmark ends with a line of JSON, whatever happened to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = """
from harness import ending
from harness.processes import BenchmarkError
def measure():
    {body}
ending.conclude(measure)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "status", "wanted"),
    [
        ("return {'us': 1}", 0, {"us": 1}),
        ("return {'us': 1, 'errors': {'peer': 'it ended early'}}", 0, {"us": 1}),
        ("return {'error': 'yoi: it ended early'}", 1, {"error": "yoi: it ended early"}),
        ("raise BenchmarkError('it ended early')", 1, {"error": "it ended early"}),
        ("assert [] == [1]", 1, {"error": "AssertionError: "}),
        ("raise OSError(28, 'No space left')", 1, {"error": "OSError: [Errno 28] No space left"}),
    ],
)
def test_the_last_line_is_json_with_what_disturbed_it(body, status, wanted):
    ran = run(SCRIPT.format(body=body))
    last = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == status
    assert {key: last[key] for key in wanted} == wanted
    assert last["machine"]["cores"] >= 1
    assert last["noisy"] is None or isinstance(last["noisy"], str)


def test_noise_is_what_others_used_not_what_a_child_of_ours_did():
    burn = "n = 0\nwhile n < 2_000_000: n += 1"
    ran = run(
        "import json, subprocess, sys\n"
        "from harness import ending\n"
        "readings = iter([(100.0, 0.0), (100.0, 0.0), (900.0, 50.0)])\n"
        "ending._machine_seconds = lambda: next(readings)\n"
        "quiet = ending.Noise()\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}], check=True)\n"
        "assert quiet.note() is None\n"
        "readings = iter([(100.0, 0.0), (900.0, 50.0)])\n"
        "print(ending.Noise().note())\n"
    )
    assert ran.returncode == 0, ran.stderr
    assert "other processes used" in ran.stdout
    assert "the hypervisor took" in ran.stdout


def test_a_case_that_fails_has_its_error_in_its_row_and_the_others_their_figures():
    ran = run(
        "from harness import figures\n"
        "runs = figures.Runs()\n"
        "runs.add('yoi', 1, {'rate': 5.0})\n"
        "runs.fail('peer', 'lost 3 frames')\n"
        "print(figures.spread(runs.of('yoi', 1, 'rate')))\n"
        "print(figures.spread(runs.of('peer', 1, 'rate')))\n"
        "print(runs.named('yoi'), '|', runs.named('peer'), runs.errors)\n"
    )
    assert ran.returncode == 0, ran.stderr
    assert "\n5 (5-5)\n-\n" in ran.stdout
    assert "yoi | peer (FAILED: lost 3 frames) {'peer': 'lost 3 frames'}" in ran.stdout


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_ends_by_the_one_rule(script):
    text = script.read_text(encoding="utf-8")
    if script.stem.startswith("sut_") or script.stem == "cost_child":
        return  # what is measured, not what measures
    assert "ending.conclude(" in text
    assert "last_line" not in text
