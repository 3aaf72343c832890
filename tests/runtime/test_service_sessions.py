"""Two connections of one plugin, many sessions of each, in any order: no answer goes astray."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.fakes import Bench, FakeInstance, FakeLink

from yoi.permissions.connection_settings import OnFull
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Reply
from yoi.runtime.service import Service

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["frame", "frame", "flap", "hold", "release", "restart", "wait"]),
        st.sampled_from(["east", "west"]),
    ),
    max_size=60,
)


class NamedLink(FakeLink):
    """A fake that says at each send which session was open at that moment."""

    def __init__(self, name, adapter) -> None:
        super().__init__(adapter)
        self.name = name

    def open(self):
        self._count += 1
        self.session = f"{self.name}{self._count}"
        self.adapter.opened(self.session, None, "127.0.0.1", "first")
        return self.session

    def _send(self, session, payload) -> None:
        open_now = self.session
        super()._send(session, payload)
        assert session == open_now

    send_text = _send


@given(_STEPS)
@settings(max_examples=60)
async def test_an_answer_goes_to_the_session_that_asked_or_is_refused(steps):
    """W4, DESIGN 5; P3: two connections are never confused, and the plugin is told."""
    told: list[str] = []

    def answer(event):
        if event.kind == EventKind.SEND_FAILED:
            told.append(event.payload["session"])
        return Reply(event.text) if isinstance(event, TextFrame) else NO_COMMANDS

    bench = Bench([])
    bench._instances = type("Endless", (), {"popleft": lambda _: FakeInstance(answer)})()
    links: dict[str, NamedLink] = {}
    (spec,) = bench.spec.connections

    def opener(name):
        def open_link(adapter):
            links[name] = NamedLink(name, adapter)
            return links[name]

        return open_link

    service = Service(
        replace(
            bench.spec,
            connections=tuple(
                replace(
                    spec,
                    settings=replace(spec.settings, name=name, on_full=OnFull.PAUSE),
                    open=opener(name),
                )
                for name in ("east", "west")
            ),
        ),
        bench.around,
    )
    await service.start()
    asked = 0
    for what, name in steps:
        link = links[name]
        if what == "frame" and link.session is not None:
            asked += 1
            link.receive(f"{link.session}/{asked}")
        elif what == "flap":
            link.end() if link.session else link.open()
        elif what == "hold" and bench.turns.held is None:
            bench.turns.hold()
        elif what == "release":
            bench.turns.release()
        elif what == "restart" and bench.turns.held is None:
            await service.restart()
        elif what == "wait":
            await bench.settle()
    bench.turns.release()
    await bench.settle()
    answered = 0
    for name, link in links.items():
        for session, text in link.sent:
            answered += 1
            assert session.startswith(name)
            assert text.startswith(f"{session}/")
    refused = [r for r in service.status().commands if r.status == "failed"]
    codes = {r.code for r in refused}
    assert codes <= {"connection.session_ended", "connection.not_open"}
    counters = service.status().counters
    assert answered + counters.commands_failed == asked
    assert len(told) == counters.commands_failed or counters.rejected
    bench.turns.release()
    await service.stop()
