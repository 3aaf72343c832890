"""What Prometheus is told of services and workers, and what the examples make of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from tests.runtime.fakes import Bench, FakeInstance
from tests.serving.streams import served
from tests.workers.worlds import World, answers, tool

from yoi.core.alerts import AlertBook
from yoi.core.histogram import BOUNDS, Histogram
from yoi.protocol import events as ev
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, HandlerFailed, Reply
from yoi.runtime.figures import RuntimeFigures
from yoi.runtime.services import Services
from yoi.runtime.worker_figures import WorkerFigures
from yoi.serving.metrics import Metrics, UpstreamFigures
from yoi.testing import ManualClock
from yoi.workers.approvals import Decision
from yoi.workers.scripted import CallTool, Say

PACKAGING = Path(__file__).parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "yoi-rules.yml"
RULES_TEST = PACKAGING / "prometheus" / "yoi-rules-test.yml"
PROMTOOL = shutil.which("promtool")
DASHBOARD = PACKAGING / "grafana" / "yoi.json"
_NAME = re.compile(r"\byoi_[a-z_]+")
_VARIABLE = re.compile(r"\$__?\w+")
_MATCHER = re.compile(r"\b(yoi_[a-z_]+)\{([^}]*)\}")


class _Asked(Collector):
    def __init__(self, figures):
        self._figures = figures

    def describe(self):
        return iter(())

    def collect(self):
        yield from self._figures()


def families(figures):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Asked(figures))
    text = generate_latest(registry).decode()
    return {one.name: one for one in text_string_to_metric_families(text)}


def values(family, *, suffix="", **labels):
    return [
        one.value
        for one in family.samples
        if one.name == family.name + suffix and labels.items() <= one.labels.items()
    ]


def handler(event):
    if not isinstance(event, TextFrame):
        return NO_COMMANDS
    if event.text == "bad":
        return HandlerFailed("MemoryError", "", "plugin.py:7")
    return Reply(event.text)


async def serving(*texts):
    bench = Bench([FakeInstance(handler)])
    await bench.service.start()
    bench.link.arrive()
    for text in texts:
        bench.link.receive(text)
    await bench.settle()
    services = Services()
    services.put(bench.service)
    return bench, RuntimeFigures(services, WorkerFigures(ManualClock()), AlertBook())


async def test_a_service_is_counted():
    bench, figures = await serving("a", "b")
    found = families(figures)
    assert values(found["yoi_services"], state="running") == [1]
    assert values(found["yoi_services"], state="degraded") == [0]
    assert values(found["yoi_service_healthy"], service="echo") == [1]
    assert values(found["yoi_service_events"], suffix="_total", outcome="succeeded") == [3]
    assert values(found["yoi_commands"], suffix="_total", outcome="done") == [2]
    assert values(found["yoi_connection_down"], connection="gateway") == [0]
    took = found["yoi_dispatch_seconds"]
    assert values(took, suffix="_count") == values(took, suffix="_bucket", le="+Inf")
    assert values(took, suffix="_count")[0] >= 1
    assert values(found["yoi_guest_memory_limit_bytes"])[0] > 1 << 20
    assert values(found["yoi_queue_capacity_events"]) == [64]
    await bench.service.stop()
    found = families(figures)
    assert values(found["yoi_services"], state="stopped") == [1]
    assert values(found["yoi_service_healthy"]) == [0]


async def test_what_goes_wrong_is_counted():
    _, figures = await serving("bad")
    found = families(figures)
    assert values(found["yoi_service_events"], suffix="_total", outcome="failed")[0] >= 1
    assert values(found["yoi_guest_out_of_memory"], suffix="_total")[0] >= 1
    assert values(found["yoi_diagnostics"], suffix="_total", severity="error")[0] >= 1


async def test_a_worker_is_counted_with_how_long_a_person_is_waited_for():
    script = answers([Say("let me"), CallTool("echo", '{"text":"hi"}')], [Say("done")])
    async with World(script, [tool(approval="ask")]) as world:
        figures = WorkerFigures(world.clock)
        figures.follow([world.worker], failed=2)
        everything = RuntimeFigures(Services(), figures, AlertBook())
        await world.worker.send("go")
        await world.until(ev.ApprovalRequest)
        since = figures.approval_since(world.worker.name)
        world.clock.advance(90)
        found = families(everything)
        assert since is not None
        assert values(found["yoi_worker_approvals"]) == [1]
        assert values(found["yoi_worker_approval_age_seconds"]) == [90]
        assert values(found["yoi_workers"], state="failed") == [2]
        call = world.worker.status().approvals[0]
        await world.worker.approve(Decision(question=call.item, approved=True), "me")
        await world.until_status("idle")
        found = families(everything)
        assert values(found["yoi_worker_approval_age_seconds"]) == [0]
        assert values(found["yoi_worker_runs"], suffix="_total", result="finished") == [1]
        assert values(found["yoi_worker_model_calls"], suffix="_total") == [2]
        figures.follow([])
        assert values(families(everything)["yoi_worker_approvals"]) == []


def test_a_histogram_counts_each_value_once():
    made = Histogram()
    for seconds in (0.0005, 0.001, 0.3, 99.0):
        made.add(seconds)
    counted = dict(made.cumulative())
    assert [counted[str(bound)] for bound in BOUNDS][:2] == [2.0, 2.0]
    assert (counted["0.5"], counted["10.0"], counted["+Inf"]) == (3.0, 3.0, 4.0)


@pytest.fixture
async def exported():
    """Every family of a whole host, with the values that its labels have."""

    class Listener:
        refused = {}
        open_sockets = 0

    _, figures = await serving("a", "bad")
    async with served() as everything:
        text = Metrics(everything.hub, Listener(), UpstreamFigures, figures).text().decode()
    suffix = {"counter": "_total", "histogram": "_bucket"}
    return {
        one.name + suffix.get(one.type, ""): one for one in text_string_to_metric_families(text)
    }


def rules():
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return group["rules"]


def test_each_rule_can_page_somebody():
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_each_rule_is_tried_with_what_pages_and_with_what_does_not():
    tried = [
        (case["alertname"], bool(case["exp_alerts"]))
        for one in yaml.safe_load(RULES_TEST.read_text())["tests"]
        for case in one["alert_rule_test"]
    ]
    assert sorted(tried) == sorted((one["alert"], pages) for one in rules() for pages in (0, 1))


async def test_every_series_that_the_rules_are_tried_with_exists(exported):
    for one in yaml.safe_load(RULES_TEST.read_text())["tests"]:
        for given in one["input_series"]:
            for name in _NAME.findall(given["series"]):
                assert name in exported


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not here")
def test_promtool_agrees_with_the_examples(tmp_path):
    for words in (("check", RULES), ("test", RULES_TEST)):
        ran = subprocess.run([PROMTOOL, words[0], "rules", words[1]], capture_output=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    panels = [
        {"record": f"panel:{number}", "expr": _VARIABLE.sub("5m", expression)}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    ran = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def expressions():
    yield from ((rule["alert"], rule["expr"]) for rule in rules())
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("what", "expression"), list(expressions()))
async def test_every_figure_in_the_examples_exists(what, expression, exported):
    assert expression.count("(") == expression.count(")")
    for name in _NAME.findall(expression):
        assert name in exported, f"{what} names {name}"
    for name, matchers in _MATCHER.findall(expression):
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            samples = exported[name].samples
            known = {one.labels.get(label) for one in samples}
            assert not samples or value in known, f"{what}: {name} has no {label}={value}"


async def test_a_label_in_a_summary_is_one_of_its_figures(exported):
    for rule in rules():
        had = {
            label
            for name in _NAME.findall(rule["expr"])
            for one in exported[name].samples
            for label in one.labels
        }
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        if had:
            assert named <= had | {"instance"}, rule["alert"]
