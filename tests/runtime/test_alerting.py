"""D6 on the runtime's side: alerts are told in the log, in the status, and to a webhook."""

import asyncio
import json

import pytest
from tests.runtime.fakes import Bench, FakeInstance

from yoi.connections import RequestClient, SystemResolver
from yoi.errors import TrustError, YoiError
from yoi.host.webhook import webhook
from yoi.limits import LIMITS
from yoi.permissions import Url
from yoi.protocol.outcomes import NO_COMMANDS, AnswerRefused
from yoi.runtime.alerting import Alerting
from yoi.runtime.services import Services
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


def test_without_a_url_there_is_no_webhook():
    assert webhook(None, None) is None
