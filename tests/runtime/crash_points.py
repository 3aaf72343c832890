"""Lives of a durable service whose host is killed at a given point, and all that happened in them.

A point is everything by which a host leaves a trace, or is left with one: a commit about to be
stored, one that is stored and not yet known, an event handed to the plugin, a message sent, a
worker or a server asked, and its answer. `points()` lists them; a life killed at one does nothing
of it or after it. What the disk holds then is what the next life begins with.
"""

import asyncio
import copy
from dataclasses import dataclass, field

from tests.runtime.fakes import QUICK, Bench, FakeInstance, FakeLink
from tests.runtime.test_executor import ANSWER
from tests.runtime.test_service import command

from yoi.journal.memory import MemoryJournal
from yoi.journal.sqlite import SqliteJournal
from yoi.journal.state import StateStore
from yoi.limits import Limits
from yoi.permissions import JsonPointer, PermissionSet
from yoi.permissions.connection_settings import Dedupe
from yoi.protocol.ingress import EventKind, TextFrame
from yoi.protocol.outcomes import NO_COMMANDS, Commands, HandlerFailed
from yoi.protocol.service_log import Accepted, Handled, decode
from yoi.runtime import log_writer
from yoi.testing import ManualClock
from yoi.workers.notify import Notified

LOG = "service:echo"
DEDUPE = Dedupe(JsonPointer.parse("/id"), 600_000, 100)
OVERDUE = 120


def _target(name, **more):
    table = {"scheme": "https", "host": "api.example", "methods": ["POST"], "path_prefixes": ["/"]}
    return {"name": name, **table, **more}


API = PermissionSet.parse(
    [{"kind": "host_api", "api": "request"}],
    [],
    [_target("again", idempotent=True), _target("once")],
)


class Kill:
    """Counts the points of a life, and ends it before the one numbered `at`."""

    def __init__(self, at=None):
        self.at = at
        self.names = []
        self.dead = False

    def point(self, name):
        """Return whether the host lives to do `name`."""
        if not self.dead and len(self.names) == self.at:
            self.dead = True
        if self.dead:
            return False
        self.names.append(name)
        return True


@dataclass
class Far:
    """All that happened, whatever host it was: what is on disk, and what the world has seen."""

    entries: list = field(default_factory=list)
    """Every record ever stored, in order."""
    sent: list = field(default_factory=list)
    notified: dict = field(default_factory=dict)
    """How often a worker was told, by event and command; in order of the first time."""
    asked: list = field(default_factory=list)
    """The command ids of requests, as the server saw them."""
    handed: list = field(default_factory=list)
    """What each plugin was handed: life, event, attempt, and whether it was marked."""
    early: list = field(default_factory=list)
    """What was done or handed over before the record that allows it was stored."""
    lives: int = 0
    state: StateStore = field(default_factory=lambda: StateStore(None))
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def accepted(self):
        """Return the accepted events, each once, in order."""
        found = {}
        for one in self.entries:
            if isinstance(one, Accepted):
                found.setdefault(one.event_id, one)
        return found

    @property
    def frames(self):
        """Return the texts of accepted frames, by event id."""
        return {name: one.frame.text for name, one in self.accepted.items() if one.frame}

    @property
    def handled(self):
        """Return the ids of events that were handled, in order."""
        return [one.event_id for one in self.entries if isinstance(one, Handled) and one.event_id]

    def has(self, kind, event_id):
        return any(isinstance(one, kind) and one.event_id == event_id for one in self.entries)

    def acts(self, what, event_id):
        """Note an effect that leaves before its answer is stored."""
        if not self.has(Handled, event_id):
            self.early.append((what, event_id))


class Dying:
    """A journal whose host may be killed before it stores a commit, or before it hears of one."""

    def __init__(self, inner, kill, far):
        self.inner = inner
        self._kill = kill
        self._far = far
        self.busy = 0
        self.moved = asyncio.Event()
        self.read, self.status, self.trim = inner.read, inner.status, self._trim

    async def commit(self, appends):
        if not self._kill.point("commit"):
            await _hang()
        self.busy += 1
        try:
            await self.inner.commit(appends)
        finally:
            self.busy -= 1
            self.moved.set()
        self._far.entries += [decode(data, 1) for append in appends for data in append.records]
        if not self._kill.point("committed"):
            await _hang()
        await asyncio.sleep(0)

    async def _trim(self, log, through):
        if not self._kill.point("trim"):
            await _hang()
        await self.inner.trim(log, through)


_HANGING = []


async def _hang():
    """Wait for what never comes, held so that it is not collected before its loop ends."""
    _HANGING.append(asyncio.Event())
    await _HANGING[-1].wait()


class Worker:
    """Commits a notification once by its event and command."""

    def __init__(self, kill, far):
        self._kill, self._far = kill, far

    async def notify(self, one):
        if not self._kill.point("notify"):
            await _hang()
        self._far.acts("notify", one.event_id)
        key = one.event_id, one.command_id
        self._far.notified[key] = self._far.notified.get(key, 0) + 1
        if not self._kill.point("notified"):
            await _hang()
        return Notified(len(self._far.notified), self._far.notified[key] == 1)


class Plugin:
    """Answers each text by its first word; what it is handed is in `far.handed`."""

    def __init__(self, kill, far):
        self._kill, self._far, self._life = kill, far, far.lives

    def __call__(self, event):
        if not self._kill.point("handed"):
            return NO_COMMANDS
        marked = isinstance(event, TextFrame) and event.duplicate
        self._far.handed.append((self._life, event, event.attempt, marked))
        if isinstance(event, TextFrame) and not self._far.has(Accepted, event.event_id):
            self._far.early.append(("handed", event.event_id))
        if event.kind == EventKind.TIMER:
            return self._commands(event, ("websocket_send", {"text": event.event_id}))
        if not isinstance(event, TextFrame):
            return NO_COMMANDS
        return self._answer(event, event.text.split('"')[3])

    def _answer(self, event, word):
        match word.split("-")[0]:
            case "fail":
                return HandlerFailed("RuntimeError", "never", "")
            case "flaky" if event.attempt == 1:
                return HandlerFailed("RuntimeError", "not yet", "")
            case "again" | "once" as target:
                request = {"target": target, "method": "POST", "path": "/x", "text": word}
                return self._commands(event, ("request", request))
            case "timer":
                return self._commands(event, ("timer_set", {"name": "t", "after_ms": 60_000}))
            case _:
                return self._commands(
                    event,
                    ("state_set", {"key": word, "value": event.attempt > 0}),
                    ("websocket_send", {"text": event.event_id}),
                    ("notify", {"worker": "w", "text": word}),
                )

    def _commands(self, event, *pairs):
        made = enumerate(pairs)
        return Commands(
            [command(event, kind, what, f"{event.event_id}:{n}") for n, (kind, what) in made]
        )


class Life:
    """One host: made, driven through `script`, and left where it was killed."""

    def __init__(self, far, inner, kill, limits):
        far.lives += 1
        self.far, self.kill = far, kill
        self.journal = Dying(inner, kill, far)
        self.bench = Bench(
            [FakeInstance(Plugin(kill, far)) for _ in range(4)],
            durable=True,
            journal=self.journal,
            state=far.state,
            notifier=Worker(kill, far),
            clock=far.clock,
            asked=API,
            send=self._asked,
            dedupe=DEDUPE,
            limits=limits,
            told_of_start=("events",),
            link=self._link,
        )

    async def live(self, texts):
        """Start, hear `texts` over two sessions, and stop, as far as the life goes."""
        for step in (self._start(), self._hear(texts), self.bench.service.stop()):
            task = asyncio.ensure_future(step)
            await self._quiet(task)
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _start(self):
        await self.bench.service.start()
        if self.bench.links:
            self.bench.link._count = 10 * self.far.lives
            self.bench.link.arrive()

    async def _hear(self, texts):
        half = (len(texts) + 1) // 2
        for part in (texts[:half], texts[half:]):
            for text in part:
                if self.kill.dead or not self.bench.links or self.bench.link.session is None:
                    return
                self.bench.link.receive(f'{{"id": "{text}"}}')
                await self._quiet()
            # As every few seconds.
            self.bench.service._durability._mark_alive()
            if part and self.bench.link.session is not None and not self.kill.dead:
                self.bench.link.end(1006)
                self.bench.link.arrive()
        # Two at once: nothing is committed in between.
        for text in ("both-1", "both-2") if texts else ():
            if not self.kill.dead:
                self.bench.link.receive(f'{{"id": "{text}"}}')
        await self._quiet()

    async def _quiet(self, task=None):
        """Let everything happen that is due; a journal on disk is waited for."""
        still = 0
        while still < 3:
            for _ in range(25):
                await asyncio.sleep(0)
            if self.journal.busy:
                self.journal.moved.clear()
                await self.journal.moved.wait()
                still = 0
                continue
            over = self.kill.dead or task is None or task.done()
            still = still + 1 if over else 0

    def _link(self, adapter):
        link = FakeLink(adapter)
        sending = link.send_text

        def send_text(session, text):
            if self.kill.dead:
                return
            if link.session is not None and session in (None, link.session):
                if not self.kill.point("send"):
                    return
                self.far.acts("send", text)
                self.far.sent.append(text)
            sending(session, text)

        link.send_text = send_text
        link.complete_until_ms = self.far.clock.wall_ms
        return link

    async def _asked(self, prepared, authorise):
        if not self.kill.point("request"):
            await _hang()
        self.far.acts("request", prepared.command_id.rpartition(":")[0])
        self.far.asked.append(prepared.command_id)
        if not self.kill.point("answer"):
            await _hang()
        return ANSWER


TEXTS = ("plain-1", "again-1", "once-1", "timer-1", "flaky-1", "fail-1", "plain-1", "plain-2")


@dataclass(frozen=True)
class Setting:
    """What engine holds the log, and into how many commits a turn of the loop is split."""

    engine: str = "memory"
    split: bool = False
    checkpoints: bool = False

    @property
    def limits(self):
        about = {"retry_first_ms": 0}
        if self.split:
            about["journal_batch"] = 1
        if self.checkpoints:
            about["service_checkpoint_records"] = 6
        return Limits(**about) if len(about) > 1 else QUICK


async def history(setting, folder, *kills):
    """Return all that happened: a life for each kill, one that goes on, and one that looks back."""
    far, batch = Far(), log_writer._BATCH
    log_writer._BATCH = 1 if setting.split else batch
    journal = MemoryJournal()
    path = folder / "journal.db"
    if setting.engine == "sqlite":
        for left in folder.glob("journal.db*"):
            left.unlink()
        journal = await SqliteJournal.open(path)
    try:
        lives = []
        for number, kill in enumerate([*kills, Kill(), Kill()]):
            life = Life(far, journal, kill, setting.limits)
            texts = (TEXTS, *((),) * (len(kills) - 1), TEXTS[-2:], ())[number]
            await life.live(texts)
            lives.append(life)
            far.clock.advance(OVERDUE)
            if setting.engine == "sqlite":
                await journal.close()
                journal = await SqliteJournal.open(path)
            else:
                journal, held = MemoryJournal(), journal
                journal._logs = copy.deepcopy(held._logs)
    finally:
        log_writer._BATCH = batch
        await journal.close()
    return far


async def points(setting, folder):
    """Return the names of the points of a life that nothing ends."""
    kill = Kill(1 << 30)
    await history(setting, folder, kill)
    return kill.names
