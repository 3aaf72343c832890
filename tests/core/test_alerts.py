"""D6: what needs a person is one alert, opened once and closed once."""

import pytest

from yoi.core.alerts import AlertBook, AlertKind, conditions, disk
from yoi.limits import Limits
from yoi.protocol.status import (
    CommandResult,
    ConnectionStatus,
    Counters,
    RefusedVersion,
    ServiceStatus,
)

NOW = 1_767_225_600_000
AT = "2026-01-01T00:00:00.000Z"
EARLIER = "2025-12-31T23:59:00.000Z"
REFUSED = RefusedVersion(version="2", digest="e", code="sandbox.load", message="no x", at=AT)


def service(lifecycle="running", links=(), **more):
    return ServiceStatus(
        name="echo",
        reference="project:echo",
        version="1",
        digest="d",
        runtime="python",
        lifecycle=lifecycle,
        counters=Counters(),
        connections=list(links),
        **more,
    )


def link(state="open", **more):
    return ConnectionStatus(name="gateway", ingress="events", url="wss://x/", state=state, **more)


OVERFLOWN = link(last_error_code="connection.overflow", last_error_at=EARLIER)


def kinds(status, **expected):
    return [one.kind for one in conditions(status, expected, NOW)]


@pytest.mark.parametrize(
    ("halt", "command"),
    [("denied", "yoi service status echo"), ("refused", "yoi service reconnect echo gateway")],
)
def test_what_a_dial_would_not_mend_is_not_answered_by_dialling(halt, command):
    (ended,) = conditions(service(links=[link("stopped", halt=halt)]), {}, NOW)
    assert (ended.kind, ended.hint) == (AlertKind.ENDED, command)


def result(status, at):
    return CommandResult(
        command_id="c",
        source_event_id="e",
        kind="notify",
        status=status,
        code=None,
        message="",
        at=at,
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (service("quarantined"), AlertKind.QUARANTINED),
        (service("failed", last_error_code="journal.io"), AlertKind.JOURNAL),
        (service("starting", last_error_code="journal.io"), AlertKind.JOURNAL),
        (service("failed", last_error_code="service.state_full"), AlertKind.JOURNAL),
        (service(dead_letters=2), AlertKind.DEAD_LETTERS),
        (service(refused_version=REFUSED), AlertKind.REFUSED),
        (service(commands=[result("unknown", EARLIER)]), AlertKind.EFFECTS_UNKNOWN),
        (service(links=[link("waiting", halt="fatal close")]), AlertKind.ENDED),
        (service(links=[link("waiting", last_error_code="connection.budget")]), AlertKind.BUDGET),
        (service(links=[OVERFLOWN]), AlertKind.PAUSED_OUT),
    ],
)
def test_each_condition_has_its_alert(status, kind):
    assert kinds(status) == [kind]


def test_a_well_service_has_none():
    assert kinds(service(links=[link(last_frame_at=EARLIER)])) == []
    assert kinds(service("failed", last_error_code="sandbox.trap")) == []
    assert kinds(service(commands=[result("done", EARLIER)])) == []


def test_an_unknown_effect_is_told_for_an_hour():
    assert kinds(service(commands=[result("unknown", "2025-12-31T22:00:00.000Z")])) == []


def test_an_open_and_silent_connection_is_deaf_only_where_words_are_expected():
    """A quiet connection is not dead: the manifest says how long silence may last."""
    quiet = service(links=[link(last_news_at=EARLIER)])
    assert kinds(quiet, gateway=59_000) == [AlertKind.DEAF]
    assert kinds(quiet, gateway=61_000) == []
    assert kinds(service(links=[link("waiting", last_news_at=EARLIER)]), gateway=1_000) == []
    assert kinds(service(links=[link(connected_since=EARLIER)]), gateway=59_000)


def test_acknowledgements_are_no_news_and_a_new_session_has_its_time():
    acked = service(links=[link(last_news_at=EARLIER, last_frame_at=AT)])
    assert kinds(acked, gateway=59_000) == [AlertKind.DEAF]
    back = service(links=[link(last_news_at="2025-12-31T00:00:00.000Z", connected_since=AT)])
    assert kinds(back, gateway=59_000) == []
    paused = service(links=[link(last_news_at=EARLIER, reading_paused=True)])
    assert kinds(paused, gateway=59_000) == [], "the host itself does not read"


def test_a_disk_that_is_nearly_full():
    assert disk(100, Limits(disk_free_bytes=100)) == []
    assert [one.kind for one in disk(99, Limits(disk_free_bytes=100))] == [AlertKind.DISK]


def test_an_alert_opens_once_and_closes_once():
    book = AlertBook()
    found = conditions(service(dead_letters=1), {}, NOW)
    opened, closed = book.update(found, EARLIER)
    assert [one.kind for one in opened] == ["dead_letters"]
    assert closed == []
    more = conditions(service(dead_letters=2), {}, NOW)
    assert book.update(more, AT) == ([], [])
    (standing,) = book.open
    assert (standing.since, standing.message) == (EARLIER, "echo has 2 dead letters")
    assert book.of_service("echo") == [standing]
    assert book.of_service("ech") == []
    assert book.update([], AT) == ([], [standing])
    assert book.open == []


def test_a_session_that_was_closed_for_slowness_is_told_of_until_the_next_has_lasted():
    long_ago = link(last_error_code="connection.overflow", last_error_at="2025-12-31T23:00:00.000Z")
    assert kinds(service(links=[long_ago])) == []
    down = link(
        "waiting", last_error_code="connection.overflow", last_error_at="2025-12-31T23:00:00.000Z"
    )
    assert kinds(service(links=[down])) == [AlertKind.PAUSED_OUT]
