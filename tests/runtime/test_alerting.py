"""D6 on the runtime's side: alerts are told in the log, in the status, and to a webhook."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from tests.core.test_alerts import EARLIER, OVERFLOWN, REFUSED, link, result
from tests.core.test_alerts import service as status
from tests.runtime.fakes import Bench, FakeInstance

from yoi.connections import RequestClient, SystemResolver
from yoi.core.alerts import AlertKind, Condition
from yoi.errors import ConfigError, TrustError, YoiError
from yoi.host.webhook import webhook
from yoi.limits import LIMITS, Limits
from yoi.permissions import Url
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused
from yoi.protocol.status import ServiceStatus
from yoi.runtime.alerting import Alerting
from yoi.runtime.figures import RuntimeFigures
from yoi.runtime.services import Services
from yoi.runtime.worker_figures import WorkerFigures
from yoi.testing import ManualClock
from yoi.testing.http_server import HttpAnswer, HttpServer
from yoi.types import SystemClock


async def test_a_dead_letter_is_one_alert_until_it_is_replayed(tmp_path):
    answers = [AnswerRefused("sandbox.answer_malformed", "no")]
    bench = Bench([FakeInstance(lambda _: answers[0])])
    await bench.service.start()
    bench.link.arrive()
    await bench.settle()
    services, told, posted = Services(), [], asyncio.Queue()

    async def post(about):
        posted.put_nowait((about["state"], about["alert"], about["scope"]))

    services.put(bench.service)
    alerting = Alerting(
        lambda: services, tmp_path, lambda scope, d: told.append(d), bench.clock, LIMITS, post
    )
    services.alerts_of = alerting.book.of_service
    await alerting.look()
    await alerting.look()
    assert [one.code for one in told] == ["alert.opened"]
    assert told[0].hint == "yoi service dead-letters echo"
    assert [one.kind for one in services.status("echo").alerts] == ["dead_letters"]
    answers[0] = NO_COMMANDS
    for letter in bench.service.dead_letters:
        bench.service.replay(letter.event.event_id)
    await bench.settle()
    alerting.start()
    async with asyncio.timeout(10):
        both = [await posted.get(), await posted.get()]
    await alerting.stop()
    assert [one.code for one in told] == ["alert.opened", "alert.closed"]
    assert both == [
        ("opened", "dead_letters", "service:echo"),
        ("closed", "dead_letters", "service:echo"),
    ]


async def test_decisions_that_cannot_be_read_are_one_alert_until_they_can(tmp_path):
    told = []
    alerting = Alerting(
        Services, tmp_path, lambda scope, d: told.append((scope, d)), SystemClock(), LIMITS
    )
    alerting.distrusted = TrustError("trust.damaged", "it cannot be read", hint="yoi trust")
    await alerting.look()
    await alerting.look()
    alerting.distrusted = None
    await alerting.look()
    about = [(scope, d.code, d.hint) for scope, d in told if "trust.damaged" in d.message]
    assert about == [("host", "alert.opened", "yoi trust"), ("host", "alert.closed", None)]


async def test_the_webhook_is_posted_to_and_a_redirect_is_not_followed():
    seen = []

    def answer(request):
        seen.append(request)
        return HttpAnswer(status=204 if len(seen) == 1 else 302, headers={"Location": "/else"})

    async with HttpServer(answer) as server:
        client = RequestClient(SystemResolver(LIMITS), SystemClock(), LIMITS)
        post = webhook(Url.parse(server.url + "/hook?key=1", ("http",)), client)
        about = {"scope": "host", "alert": "disk_nearly_full", "state": "opened", "at": "now"}
        await post(about)
        with pytest.raises(YoiError):
            await post(about)
    assert [(one.method, one.target) for one in seen] == [("POST", "/hook?key=1")] * 2
    assert json.loads(seen[0].body) == about


async def test_a_post_that_fails_does_not_show_the_path_which_is_the_credential():
    client = RequestClient(SystemResolver(LIMITS), SystemClock(), LIMITS)
    url = Url.parse("http://127.0.0.1:1/services/T000/THE-PATH-IS-THE-SECRET", ("http",))
    with pytest.raises(YoiError) as failed:
        await webhook(url, client)({"scope": "a", "alert": "b", "state": "opened", "at": "now"})
    assert "THE-PATH" not in f"{failed.value} {failed.value.hint} {failed.value.fields}"


def test_without_a_url_there_is_no_webhook():
    assert webhook(None, None) is None


class Shown:
    """A service of which only the status is asked."""

    def __init__(self, name):
        self.name = name
        self.bench = Bench([FakeInstance()])
        self.shown = status("running")
        self.spec = SimpleNamespace(name=name, expected_ms={"gateway": 59_000})

    def status(self):
        return self.shown

    @property
    def figures(self):
        return self.bench.service.figures


EVERYTHING = {
    AlertKind.QUARANTINED: status("quarantined"),
    AlertKind.JOURNAL: status("failed", last_error_code="journal.io"),
    AlertKind.DEAD_LETTERS: status(dead_letters=2),
    AlertKind.REFUSED: status(refused_version=REFUSED),
    AlertKind.EFFECTS_UNKNOWN: status(commands=[result("unknown", EARLIER)]),
    AlertKind.ENDED: status(links=[link("waiting", halt="fatal close")]),
    AlertKind.BUDGET: status(links=[link("waiting", last_error_code="connection.budget")]),
    AlertKind.PAUSED_OUT: status(links=[OVERFLOWN]),
    AlertKind.DEAF: status(links=[link(last_news_at=EARLIER)]),
    AlertKind.DISK: Limits(disk_free_bytes=1 << 62),
    AlertKind.TRUST: TrustError("trust.damaged", "no"),
    AlertKind.MACHINE: ConfigError("config.value", "no"),
    AlertKind.MCP: Condition(AlertKind.MCP, "mcp:files", "a tool changed"),
}
"""What makes each kind of alert: the status of a service, or what the host finds out itself."""


@pytest.mark.parametrize("kind", list(AlertKind))
async def test_each_alert_opens_and_closes_in_log_status_metric_console_and_webhook(kind, tmp_path):
    made = EVERYTHING[kind]
    shown, services, told, posted = Shown("echo"), Services(), [], asyncio.Queue()
    services.put(shown)

    async def post(about):
        posted.put_nowait((about["state"], about["alert"]))

    clock = ManualClock()
    others = []
    alerting = Alerting(
        lambda: services,
        tmp_path,
        lambda scope, d: told.append((scope, d)),
        clock,
        LIMITS,
        post,
        lambda: others,
    )
    services.alerts_of = alerting.book.of_service
    figures = RuntimeFigures(services, WorkerFigures(clock), alerting.book)

    def measured():
        (family,) = [one for one in figures() if one.name == "yoi_alert"]
        return [one.labels["alert"] for one in family.samples]

    host_wide = not isinstance(made, ServiceStatus)
    for stands in (True, False):
        if isinstance(made, Limits):
            alerting._limits = made if stands else LIMITS
        elif isinstance(made, TrustError):
            alerting.distrusted = made if stands else None
        elif isinstance(made, ConfigError):
            alerting.machine_fault = made if stands else None
        elif isinstance(made, Condition):
            others[:] = [made] if stands else []
        else:
            shown.shown = made if stands else status("running")
        await alerting.look()
        await alerting.look()
        expected = [kind] if stands else []
        assert measured() == expected
        assert [one.kind for one in alerting.book.open] == expected
        assert [one.kind for one in services.status("echo").alerts] == (
            [] if host_wide else expected
        )
    # The log and the console, which watches a service's diagnostics, are shown the same.
    assert [(d.code, d.fields["alert"]) for _, d in told] == [
        ("alert.opened", kind),
        ("alert.closed", kind),
    ]
    assert {scope in ("host", "mcp:files") for scope, _ in told} == {host_wide}
    alerting.start()
    async with asyncio.timeout(10):
        both = [await posted.get(), await posted.get()]
    await alerting.stop()
    assert both == [("opened", kind), ("closed", kind)]
