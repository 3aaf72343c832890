"""The console in a real browser, in front of real streams: what a person sees, and never sees."""

import asyncio
import json
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect
from tests.backend import scenes
from tests.backend.console_world import RUNTIME, console_world
from tests.backend.histories import history
from tests.backend.proxied import basic_auth_proxy

from yoi.errors import WorkerError
from yoi.limits import LIMITS, Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.principals import EVERYTHING, Principal, PrincipalKind, Redaction

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=15_000)  # the machine may be busy
CONSOLE = files("yoi.backend") / "console"
SMALL = Limits(observed_ring_events=40)
HOSTILE = (
    "<img src=x onerror=alert(1)></script><script>alert(2)</script> \x1b[31mred\x1b[0m "
    "\u202egnp.exe \u2066hidden\u2069 https://evil.example/?q=1 &lt;b&gt; javascript:alert(3)"
)


def needs_browser(test):
    """Mark a test of the page: in the module's one loop, and skipped where there is no browser."""
    test = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")(test)
    return pytest.mark.slow(pytest.mark.asyncio(loop_scope="module")(test))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory):
    async with console_world(tmp_path_factory.mktemp("backend"), commands=Port()) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forgetful(tmp_path_factory):
    """A backend that holds little, and forgets all when it ends."""
    folder = tmp_path_factory.mktemp("forgetful")
    async with console_world(folder, SMALL, persist=False) as made:
        yield made


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Where pictures go: the folder YOI_SCREENSHOTS names, or one that nobody keeps."""
    named = os.environ.get("YOI_SCREENSHOTS")
    return Path(named) if named else tmp_path_factory.mktemp("shots")


class Visit:
    """One person's tab, and all that must never happen in it."""

    def __init__(self, page):
        self.page = page
        self.urls = []
        self.errors = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("websocket", lambda socket: self.urls.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        page.on("console", lambda told: self._told(told.text))

    def _told(self, text):
        if "Content Security Policy" in text or "Content-Security-Policy" in text:
            self.errors.append(text)

    @property
    def sockets(self):
        return [url for url in self.urls if url.startswith("ws")]

    async def watch(self, name):
        await self.page.locator(".sidebar").get_by_role("link", name=name).click()
        await self.live()

    async def open(self, name):
        """Chooses what is called exactly `name` and waits for its own page."""
        await self.page.locator(".row-name").get_by_text(name, exact=True).click()
        await expect(self.page.locator(".subject h1")).to_have_text(name)
        await self.live()

    async def live(self):
        await expect(self.page.locator(".strip")).to_have_attribute("data-level", "live")

    async def hurry(self):
        """Be back on the network: the list is looked at, and the stream dialled, at once."""
        await self.page.evaluate("window.dispatchEvent(new Event('online'))")

    async def shows(self, entries):
        await expect(self.page.locator(".log > li .said")).to_have_text(list(entries))


@pytest_asyncio.fixture(loop_scope="module")
async def visit(browser, world):
    """Return a way to make visits; at the end none of them has done what it must not."""
    contexts, visits = [], []

    async def make(principal=None, link=None, at=world, **options):
        context = await browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, **options}
        )
        contexts.append(context)
        await context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (e) => { throw new Error(`policy: ${e.violatedDirective} ${e.blockedURI}`); });"
        )
        visits.append(Visit(await context.new_page()))
        await visits[-1].page.goto(link or at.link(principal))
        return visits[-1]

    yield make
    for context in contexts:
        await context.close()
    for one in visits:
        assert one.errors == []
        foreign = [url for url in one.urls if "//127.0.0.1:" not in url]
        assert foreign == [], "something was asked for elsewhere"
        assert not any("yoi_" in url or "yois_" in url for url in one.urls)


def redacted_principal():
    return Principal(
        name="guest",
        kind=PrincipalKind.OPERATOR,
        observe=(EVERYTHING,),
        redact=frozenset(Redaction),
    )


# -- the session -----------------------------------------------------------------------------------


@needs_browser
async def test_the_code_leaves_the_address_and_the_token_stays_in_the_tab(world, visit):
    one = await visit()
    await expect(one.page.get_by_text("Signed in as operator")).to_be_visible()
    assert "#code" not in one.page.url
    kept = await one.page.evaluate(
        "() => [Object.keys(sessionStorage), localStorage.length, document.cookie]"
    )
    assert kept == [["yoi.session"], 0, ""]
    await one.page.reload()
    await expect(one.page.get_by_text("Signed in as operator")).to_be_visible()


@needs_browser
async def test_without_a_session_the_page_says_how_to_get_one(world, visit):
    one = await visit(link=world.origin)
    page = one.page
    await expect(page.get_by_text("yoi console", exact=True)).to_be_visible()
    await page.get_by_label("Or paste a link").fill("no such code at all!")
    await page.get_by_role("button", name="Open").click()
    await expect(page.get_by_role("alert")).to_contain_text("not a link, a code or a token")
    await page.get_by_label("Or paste a link").fill("abcdefgh")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("get a fresh one")
    await page.get_by_label("Or paste a link").fill(world.link())
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Signed in as operator")).to_be_visible()
    await page.get_by_role("button", name="End session").click()
    await expect(page.get_by_role("alert")).to_contain_text("forgotten")
    assert await page.evaluate("sessionStorage.length") == 0


@needs_browser
async def test_it_works_behind_a_proxy_that_has_a_login_of_its_own(world, visit):
    told = world.worker("behind")
    async with basic_auth_proxy(world.origin.removeprefix("http://")) as proxy:
        link = world.link().replace(world.origin, f"http://{proxy}")
        one = await visit(link=link, http_credentials={"username": "user", "password": "pass"})
        await expect(one.page.get_by_text("Signed in as operator")).to_be_visible()
        await one.watch("behind")
        told.message("through the proxy")
        await expect(one.page.get_by_text("through the proxy", exact=True)).to_be_visible()
        await one.page.close()


@needs_browser
async def test_a_code_works_once(world, visit):
    link = world.link()
    await visit(link=link)
    again = await visit(link=link)
    await expect(again.page.get_by_role("alert")).to_contain_text("used already")


@needs_browser
async def test_a_session_that_is_over_leads_back_to_the_door(world, visit):
    world.worker("over")
    one = await visit()
    await one.watch("over")
    world.clock.later_ms = LIMITS.session_ms
    try:
        await expect(one.page.get_by_role("alert")).to_contain_text("expired or was revoked")
    finally:
        world.clock.later_ms = 0
    assert await one.page.evaluate("sessionStorage.length") == 0


# -- a worker --------------------------------------------------------------------------------------


async def in_every_look(visit, shots, page, subject=None):
    """Show a page dark, and as narrow as a phone: nothing is wider than the screen."""
    for scheme, width in (("dark", 1280), ("light", 390), ("dark", 390)):
        other = await visit(color_scheme=scheme, viewport={"width": width, "height": 844})
        await expect(other.page.locator(".needs").first).to_be_visible()
        if subject is not None:
            await other.watch(subject)
        assert await other.page.evaluate("document.documentElement.scrollWidth") <= width
        await other.page.screenshot(path=shots / f"console-{page}-{scheme}-{width}.png")


@needs_browser
async def test_a_run_is_shown_as_it_happens(world, visit, shots):
    told = world.worker("triage", tools=["deploys", "page"])
    world.worker("release-notes")
    world.service("house", {**scenes.service_status(queue_depth=0, dead_letters=0)})
    one = await visit()
    await one.watch("triage")
    page = one.page
    await expect(page.get_by_text("Nothing has been said yet.")).to_be_visible()

    scenes.busy_worker(told)
    log = page.locator(".log")
    await expect(log.get_by_text("Please watch the incident channel")).to_be_visible()
    await expect(log.locator(".badge")).to_have_text("pluginslackvia socket_mode9f2c41d07be3")
    await expect(log.get_by_text("Run finished")).to_have_count(1)
    await expect(log.locator(".call .tool")).to_have_text(["deploys", "page"])
    await expect(log.locator(".result")).to_contain_text("1 deploy: checkout")
    thinking = log.locator("details.thinking")
    await expect(thinking.get_by_text("The report names a deploy")).not_to_be_visible()
    await thinking.locator("summary").click()
    await expect(thinking.get_by_text("The report names a deploy")).to_be_visible()
    await thinking.locator("summary").click()
    await expect(page.locator(".waiting")).to_contain_text("yoi worker approve triage c-72")
    await expect(page.locator(".alerts")).to_contain_text("3 notifications")
    await expect(page.locator(".facts")).to_contain_text("2,472 tokens in, 171 out")
    await one.hurry()
    await expect(page.locator(".sidebar")).to_contain_text("1 approval")
    await page.set_viewport_size({"width": 1280, "height": 1080})
    await page.locator(".pane").evaluate("(node) => node.scrollTo(0, node.scrollHeight)")
    await page.screenshot(path=shots / "console-worker.png")
    head, given = [log.locator(".call").first.locator(one) for one in (".tool", ".args")]
    above, below = await head.bounding_box(), await given.bounding_box()
    assert above["y"] + above["height"] <= below["y"] + 1, "what is called with stands below"
    await in_every_look(visit, shots, "worker", "triage")

    told.tell("approval_done", {"id": "c-72", "approved": True, "by": "mara"})
    await expect(page.locator(".waiting")).not_to_be_visible()
    await expect(page.locator(".now")).to_have_text("Approved by mara.")
    scenes.answer(told, 4, ("think", "Done. "), ("say", "Paged the payments"), end=False)
    flight = page.locator(".flight")
    await expect(flight.locator(".said").last).to_have_text("Paged the payments")
    await expect(flight.locator(".label")).to_have_text("Model in flight")
    await expect(flight.locator(".caret").last).to_be_visible()
    await expect(flight.locator(".caret").first).not_to_be_visible()
    told.tell("text_delta", {"text": " team."})
    await expect(flight.locator(".said").last).to_have_text("Paged the payments team.")
    told.tell("llm_call_end", {"llm_call": 4, "finish": "length", **told.place()})
    await expect(flight).not_to_be_visible()
    await expect(log.locator(".entry.assistant").last).to_contain_text("Paged the payments team.")
    await expect(log.locator(".entry.assistant .label .chip")).to_have_text(["length"])
    told.tell("llm_retry", {
        "llm_call": 5, "failed_attempt": 1, "max_attempts": 3, "wait_ms": 2000, "elapsed_ms": 9,
        "error": "overloaded",
    })  # fmt: skip
    await expect(page.locator(".now")).to_contain_text("attempt 1 of 3")
    told.tell("error", {"code": "provider_error", "message": "no model answers"})
    told.tell("run_end", {"result": "failed", **told.place()})
    await expect(page.locator(".alerts")).to_contain_text("no model answers")
    await expect(log.locator(".rule.bad")).to_contain_text("Run failed")
    told.tell("compact_done", {"new_segment_id": "1", "summary": "All so far", **told.place()})
    await log.get_by_text("Older history summed up").click()
    await expect(log.get_by_text("All so far")).to_be_visible()


@needs_browser
async def test_a_snapshot_shows_the_same_as_the_events(world, visit):
    told = world.worker("late")
    scenes.busy_worker(told)
    scenes.answer(told, 4, ("say", "half a sen"), end=False)
    early, late = await visit(), await visit()
    for one in (early, late):
        await one.watch("late")
    told.tell("text_delta", {"text": "tence"})
    for one in (early, late):
        await expect(one.page.locator(".flight .said")).to_have_text("half a sentence")
    await late.page.reload()
    await late.live()
    shown = (await early.page.locator(".column").inner_text()).strip()
    await expect(late.page.locator(".column")).to_have_text(shown, use_inner_text=True)


@needs_browser
async def test_hostile_text_is_shown_and_does_nothing(world, visit):
    told = world.worker("hostile", model=HOSTILE, tools=[HOSTILE])
    told.message(HOSTILE)
    item = {"text": HOSTILE, "provenance": dict.fromkeys(scenes.PROVENANCE, HOSTILE)}
    told.tell("system_item", {"item": {**item, **told.place()}})
    scenes.answer(
        told, 1, ("think", HOSTILE), ("say", HOSTILE), ("call", HOSTILE, HOSTILE, HOSTILE)
    )
    told.tell("approval_request", {"id": "$(reboot)", "name": HOSTILE, "arguments": HOSTILE})
    told.tell("alert", {"level": "error", "source": HOSTILE, "message": HOSTILE, "timestamp_ms": 1})
    told.tell("tool_result", {
        "id": "c", "name": HOSTILE, "summary": HOSTILE, "output": HOSTILE * 3, "is_error": True,
        **told.place(),
    })  # fmt: skip
    may = dict.fromkeys(scenes.PERMISSIONS[0], HOSTILE) | {"broad": [HOSTILE, 1, None]}
    bad = {"last_error": HOSTILE, "permissions": [may, 1], "permissions_left_out": HOSTILE}
    world.service("hostile-too", {**scenes.service_status(), **bad}).tell(
        "diagnostic", {"code": HOSTILE, "message": HOSTILE, "hint": HOSTILE, "scope": HOSTILE}
    )
    one = await visit()
    page = one.page
    board = world.board()
    words = ["title", "state", "assignee", "updated_at", "thread_damage"]
    board.tell("ticket_changed", {"id": HOSTILE, "events": 9, **dict.fromkeys(words, HOSTILE)})
    said = dict.fromkeys(["kind", "author", "at", "step", "text"], HOSTILE)
    board.tell("thread_added", {"ticket": HOSTILE, "number": 1, "cut": True, **said})
    board.tell("thread_rewritten", {"id": HOSTILE})
    board.tell("thread_added", {"ticket": HOSTILE, "number": 1, "cut": True, **said})
    for name in ("hostile", "hostile-too", "tickets"):
        await one.open(name)
        if name == "tickets":
            await page.locator(".ticket").click()
            await expect(page.locator(".thread .said")).to_have_count(1)
        for part in ("<img src=x onerror=alert(1)>", "\\x1b[31mred", "\\u202egnp.exe"):
            await expect(page.locator(".subject")).to_contain_text(part)
        shown = await page.locator(".subject").text_content()
        assert not set(shown) & set("\x1b\u202e\u2066\u2069")
        assert (
            await page.locator("img, script:not([src]), iframe, .subject a:not(.back)").count() == 0
        )
    await one.open("hostile")
    await expect(page.locator(".approval code")).to_have_text(
        "yoi worker approve hostile '$(reboot)'"
    )


@needs_browser
async def test_work_items_stand_in_columns_with_their_threads(forgetful, visit, shots):
    told = forgetful.board()
    scenes.busy_board(told)
    one = await visit(at=forgetful)
    page = one.page
    await expect(page.locator(".needs")).to_contain_text("1 item is queued by the files alone")
    await one.open("tickets")
    cards = page.locator(".board-column .ticket")
    await expect(cards).to_have_count(7)
    column = {name: page.locator(f'[data-state="{name}"]') for name in ("queued", "inprogress")}
    await expect(column["queued"].locator("h3")).to_have_text("queued 2")
    await expect(column["queued"]).to_contain_text("not in force")
    await expect(page.locator('[data-state="damaged"]')).to_contain_text("anchors and aliases")
    await column["inprogress"].locator(".ticket").click()
    thread = page.locator(".thread")
    await expect(thread.locator(".entry")).to_have_count(3)
    await expect(thread).to_contain_text("yoi ticket show 00001KY1ZKCPC")
    await page.screenshot(path=shots / "console-board.png")
    told.tell("thread_added", {
        "ticket": "00001KY1ZKCPC", "number": 9, "kind": "implementation_report",
        "author": "worker:smith", "at": scenes.at(9, 1), "text": "Oiled it.",
    })  # fmt: skip
    moved = {"id": "00001KY1ZKCPC", "title": "Mend the door", "state": "done", "events": 9}
    told.tell("ticket_changed", moved)
    await expect(thread.locator(".said").last).to_have_text("Oiled it.")
    await expect(column["inprogress"].locator(".ticket")).to_have_count(0)
    await expect(page.locator('[data-state="done"] .ticket')).to_have_attribute(
        "aria-pressed", "true"
    )
    told.tell("thread_rewritten", {"id": "00001KY1ZKCPC"})
    await expect(thread).to_contain_text("changed or taken out while you watched")
    await expect(thread.locator(".entry")).to_have_count(0)
    told.tell("ticket_gone", {"id": "00001KY1ZKCPC"})
    await expect(thread).not_to_be_visible()
    hidden = await visit(redacted_principal(), at=forgetful)
    await hidden.open("tickets")
    await expect(hidden.page.locator(".ticket .withheld")).to_have_count(6)
    assert "door" not in await hidden.page.locator(".subject").inner_text()


class Port:
    """Takes decisions; the second about a question is refused, as a worker would."""

    def __init__(self):
        self.decided = []

    def reaches(self, subject):
        return subject.name == "payer"

    async def send(self, subject, command, arguments, principal):
        if arguments["item"] in [taken["item"] for taken in self.decided]:
            raise WorkerError("worker.decided", "mara has decided about that call")
        self.decided.append({"command": command, "by": str(principal), **arguments})
        return {}


@needs_browser
async def test_a_person_decides_in_the_console(world, visit, shots):
    told = world.worker("payer", tools=["pay"])
    scenes.busy_worker(told)
    told.tell("approval_done", {"id": "c-72", "approved": True, "by": "mara"})
    call = {"id": "c9", "name": "pay", "arguments": '{"to": "<b>ann</b>", "sum": 5, "x": [1]}'}
    told.tell("approval_request", {**call, "item": 40, "after_outside": True, "times": 2})
    one = await visit()
    await one.open("payer")
    waiting = one.page.locator(".approval")
    await expect(waiting).to_contain_text("After text from outside")
    await expect(waiting).to_contain_text("2 times")
    await waiting.locator("select").select_option("matching")
    await waiting.get_by_role("button", name="Approve", exact=True).click()
    await expect(waiting.locator(".told")).to_contain_text("Choose what later calls")
    await expect(waiting.locator("label")).to_have_text(['to = "<b>ann</b>"', "sum = 5"])
    await waiting.get_by_label("to =").check()
    await one.page.screenshot(path=shots / "console-approval.png")
    await waiting.get_by_role("button", name="Approve", exact=True).click()
    await expect(waiting.locator(".told")).to_have_text("Sent.")
    assert world.commands.decided == [
        {
            "command": "approve",
            "by": "operator",
            "item": 40,
            "approved": True,
            "scope": "matching",
            "matches": [{"at": "/to", "equals": "<b>ann</b>"}],
        }
    ]
    told.tell("approval_done", {"id": "c9", "approved": True, "by": "operator"})
    await expect(waiting).to_have_count(0)
    told.tell("approval_request", {**call, "item": 40})
    await waiting.get_by_role("button", name="Deny").click()
    await expect(waiting.locator(".told")).to_have_text("mara has decided about that call")


@needs_browser
async def test_an_observer_who_may_not_see_all_sees_placeholders(world, visit):
    told = world.worker("private")
    scenes.busy_worker(told)
    service = world.service("private-too", scenes.service_status())
    scenes.busy_service(service)
    one = await visit(redacted_principal())
    page = one.page
    await one.open("private")
    chips = page.locator(".log .chip.withheld")
    await expect(chips).to_have_text(
        ["thinking withheld", "arguments withheld", "output withheld", "arguments withheld"]
    )
    await expect(page.locator(".approval .withheld")).to_have_text("arguments withheld")
    await expect(page.locator(".sidebar .withheld")).to_contain_text("tool output")
    scenes.answer(told, 9, ("think", "secretly"), end=False)
    await expect(page.locator(".flight .withheld")).to_be_visible()
    assert "secretly" not in await page.content()
    await one.open("private-too")
    await expect(page.locator(".event .withheld").first).to_be_visible()
    assert "hooks.example.com" not in await page.content()


@needs_browser
async def test_a_long_history_is_capped_and_says_so(world, visit):
    told = world.worker("long")
    one = await visit()
    await one.watch("long")
    for number in range(1, 621):
        told.message(f"message {number}")
        if number % 30 == 0:
            await asyncio.sleep(0)
    await expect(one.page.get_by_text("message 620", exact=True)).to_be_visible()
    await expect(one.page.locator(".log > li")).to_have_count(500)
    await expect(one.page.locator(".older")).to_contain_text("up to item 120, is not shown here")
    await expect(one.page.locator(".older code")).to_have_text("yoi worker history long")


@needs_browser
async def test_a_reader_keeps_the_place_and_can_jump_to_live(world, visit):
    told = world.worker("read")
    for number in range(80):
        told.message(f"line {number}")
    one = await visit()
    await one.watch("read")
    page = one.page
    pane = page.locator(".pane")
    line = page.get_by_text("line 40", exact=True)
    await line.evaluate("(node) => node.scrollIntoView({block: 'center'})")
    jump = page.get_by_role("button", name=re.compile("Jump to live"))
    await expect(jump).to_be_visible()
    before = await line.bounding_box()
    for number in range(80, 85):
        told.message(f"line {number}")
    told.tell("alert", {"level": "info", "source": "s", "message": "moves", "timestamp_ms": 1})
    await expect(jump).to_have_text("Jump to live (6 new events)")
    await expect(page.locator(".alerts")).to_be_visible()
    after = await line.bounding_box()
    assert after["y"] == pytest.approx(before["y"], abs=1), "the line moved under its reader"
    await jump.click()
    await expect(jump).not_to_be_visible()
    await expect(page.get_by_text("line 84", exact=True)).to_be_in_viewport()
    told.message("line 85")
    await expect(page.get_by_text("line 85", exact=True)).to_be_in_viewport()
    handle = await pane.element_handle()
    await page.wait_for_function(
        "(n) => n.scrollHeight - n.scrollTop - n.clientHeight < 2", arg=handle
    )


# -- the connection --------------------------------------------------------------------------------


@needs_browser
async def test_a_restart_of_the_backend_loses_nothing_and_shows_nothing_twice(world, visit):
    told = world.worker("steady")
    one = await visit()
    await one.watch("steady")
    strip = one.page.locator(".strip")
    for sent in (0, 6):
        for number in range(sent + 1, sent + 4):
            told.message(f"message {number}")
        await expect(one.page.get_by_text(f"message {sent + 3}", exact=True)).to_be_visible()
        await world.stop()
        await expect(strip).to_contain_text(re.compile("Disconnected: .*As of "))
        for number in range(sent + 4, sent + 7):
            told.message(f"message {number}")
        await world.start()
        await one.hurry()
        await expect(one.page.get_by_text(f"message {sent + 6}", exact=True)).to_be_visible()
    await one.live()
    await one.shows([f"message {number}" for number in range(1, 13)])
    await expect(one.page.locator(".notes")).not_to_be_visible()
    assert all("cursor=" in url for url in one.sockets[1:])


@needs_browser
async def test_a_backend_that_forgot_says_so_and_the_picture_is_fresh(forgetful, visit):
    told = forgetful.worker("forgot")
    one = await visit(at=forgetful)
    await one.watch("forgot")
    told.message("before")
    await expect(one.page.get_by_text("before", exact=True)).to_be_visible()
    await forgetful.stop()
    await expect(one.page.locator(".strip")).to_contain_text("Reconnecting in")
    await one.page.get_by_role("button", name="Reconnect now").click()
    told.message("while away")
    await forgetful.start()
    await one.hurry()
    await one.live()
    notes = one.page.locator(".notes")
    await expect(notes).to_contain_text(
        "resynced because what happened in between is no longer held"
    )
    await one.shows(["before", "while away"])
    await notes.get_by_role("button", name="Dismiss").click()
    await expect(notes).not_to_be_visible()


@needs_browser
async def test_one_who_lags_is_told_how_much_was_skipped(forgetful, visit):
    told = forgetful.worker("fast")
    one = await visit(at=forgetful)
    await one.watch("fast")
    for number in range(150):  # in one turn of the loop: what is held passes the browser by
        told.message(f"message {number}")
    await expect(one.page.locator(".notes")).to_contain_text(
        "lagged: 110 events skipped, picture refreshed"
    )
    await one.shows([f"message {number}" for number in range(150)])
    await one.live()


@needs_browser
async def test_a_lost_runtime_is_not_shown_as_live(world, visit):
    told = world.worker("upstream")
    one, late = await visit(), await visit()
    await one.watch("upstream")
    strip = one.page.locator(".strip")
    world.source.cut(Subject(SubjectKind.WORKER, "upstream", RUNTIME))
    await expect(strip).to_contain_text("may be stale since")
    await expect(strip).to_have_attribute("data-level", "warn")
    await late.page.locator(".sidebar").get_by_role("link", name="upstream").click()
    await expect(late.page.locator(".strip")).to_contain_text("may be stale since")
    told.message("meanwhile")
    world.source.mend()
    for watcher in (one, late):
        await watcher.live()
        await expect(watcher.page.get_by_text("meanwhile", exact=True)).to_be_visible()


@needs_browser
async def test_an_end_is_final(world, visit):
    told = world.worker("ending")
    told.message("last words")
    one = await visit()
    await one.watch("ending")
    world.runtime.remove(told.stream.subject)
    strip = one.page.locator(".strip")
    await expect(strip).to_contain_text("Closed: it is gone for good; nothing follows (4502).")
    await expect(one.page.get_by_text("last words", exact=True)).to_be_visible()
    assert len(one.sockets) == 1


@needs_browser
async def test_what_does_not_exist_is_said(world, visit):
    one = await visit()
    await expect(one.page.get_by_text("Signed in as")).to_be_visible()
    await one.page.evaluate("location.hash = '#/local/worker/nobody'")
    await expect(one.page.locator(".strip")).to_contain_text("there is no such worker here (4501)")


@needs_browser
async def test_silence_is_noticed(world, visit):
    told = world.worker("silent")
    one = await visit(link=world.origin)
    await one.page.clock.install()
    await one.page.goto(world.link())
    await one.watch("silent")
    told.message("one")
    await expect(one.page.get_by_text("one", exact=True)).to_be_visible()
    async with one.page.expect_websocket() as opened:
        await one.page.clock.fast_forward(37_000)
    assert "cursor=" in (await opened.value).url
    await one.live()
    await one.shows(["one"])


@needs_browser
async def test_the_list_says_how_old_it_is(world, visit):
    one = await visit()
    await expect(one.page.get_by_text("available", exact=True)).to_be_visible()
    await world.stop()
    await one.hurry()
    await expect(one.page.locator(".age")).to_contain_text("No news: the server cannot be reached")
    await world.start()
    await one.hurry()
    await expect(one.page.locator(".age")).to_have_text("")


# -- a service -------------------------------------------------------------------------------------


@needs_browser
async def test_a_service_shows_connections_refusals_and_gaps(world, visit, shots):
    told = world.service("chat", scenes.service_status())
    scenes.busy_service(told)
    one = await visit()
    await one.watch("chat")
    page = one.page
    await expect(page.locator(".title .state")).to_have_text("degraded")
    await expect(page.locator(".cards")).to_contain_text("37 of 256")
    gateway, prices, pull = [page.locator(".link").nth(number) for number in range(3)]
    for words in ("open", "since 14:02:11", "18,204 frames, 7.0 MiB", "1001 going away"):
        await expect(gateway).to_contain_text(words)
    for words in ("waiting", "no address could be connected", "connection.refused", "14:10:05"):
        await expect(prices).to_contain_text(words)
    await expect(pull).to_contain_text("3 messages, 2.0 KiB")
    broad, granted, denied = [page.locator(".may").nth(number) for number in range(3)]
    for words in ("https://*.example.com/", "granted in part", "Broad access: any host below"):
        await expect(broad).to_contain_text(words)
    await expect(granted).to_contain_text("granted as asked")
    await expect(denied).to_contain_text("not granted")
    await expect(page.get_by_text("2 more things are not shown here.")).to_be_visible()
    await expect(page.locator(".event.gap")).to_contain_text("may be missing for 2144 ms")
    await expect(page.locator(".event.refusal")).to_contain_text(
        "hint: yoi plugin enable project:chat"
    )
    await page.set_viewport_size({"width": 1280, "height": 1000})
    await page.locator(".pane").evaluate("(node) => node.scrollTo(0, 240)")
    await page.screenshot(path=shots / "console-service.png")
    await in_every_look(visit, shots, "service", "chat")
    await page.get_by_role("button", name="gaps").click()
    await expect(page.locator(".event")).to_have_count(1)
    await page.get_by_role("button", name="all").click()
    told.tell(
        "service_status", {"status": scenes.service_status(lifecycle="failed", health="failed")}
    )
    await expect(page.locator(".title .state")).to_have_text("failed")
    told.tell("diagnostic", {**scenes.DIAGNOSTICS[0], "message": "the newest"})
    await expect(page.locator(".event").first).to_contain_text("the newest")


# -- the first page --------------------------------------------------------------------------------


@needs_browser
async def test_the_first_page_shows_what_needs_a_person_then_everything(world, visit, shots):
    scenes.busy_worker(world.worker("waits"))
    world.service("feed", scenes.service_status())
    one = await visit(viewport={"width": 1280, "height": 900})
    page = one.page
    calls = page.locator(".needs")
    await expect(calls.filter(has_text="waits").first).to_contain_text("1 call waits for approval")
    await expect(calls.filter(has_text="feed").first).to_contain_text("is degraded, down for")
    await expect(calls.filter(has_text="feed").last).to_contain_text("given up")
    await expect(page.locator(".overview .link").filter(has_text="feed")).to_contain_text("open")
    await page.screenshot(path=shots / "console-overview.png")
    await calls.get_by_role("link", name="waits").first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("waits")
    await in_every_look(visit, shots, "overview")


# -- the page --------------------------------------------------------------------------------------


@needs_browser
async def test_the_list_can_be_walked_with_the_keyboard(world, visit):
    for name in ("key-a", "key-b"):
        world.worker(name)
    one = await visit()
    first = one.page.locator(".sidebar").get_by_role("link", name="key-a")
    await first.focus()
    await one.page.keyboard.press("ArrowDown")
    await expect(one.page.locator(".sidebar").get_by_role("link", name="key-b")).to_be_focused()
    await one.page.keyboard.press("Enter")
    await expect(one.page.get_by_role("heading", level=1)).to_have_text("key-b")
    await expect(one.page.locator(".sidebar").get_by_role("link", name="key-b")).to_have_attribute(
        "aria-current", "page"
    )


@needs_browser
async def test_dark_and_narrow(world, visit, shots):
    told = world.worker("small")
    scenes.busy_worker(told)
    told.message("x" * 3000)
    dark = await visit(color_scheme="dark", viewport={"width": 400, "height": 780})
    page = dark.page
    await expect(page.locator(".sidebar").get_by_role("link", name="small")).to_be_visible()
    await dark.watch("small")
    await expect(page.locator(".sidebar")).not_to_be_visible()
    back, ink = await page.evaluate(
        "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]; }"
    )
    assert max(map(int, re.findall(r"\d+", back))) < 60
    assert min(map(int, re.findall(r"\d+", ink))) > 180
    assert await page.evaluate("document.documentElement.scrollWidth") <= 400
    assert await page.locator(".pane").evaluate("(n) => n.scrollWidth - n.clientWidth") == 0
    await page.screenshot(path=shots / "console-narrow-dark.png")
    await page.get_by_role("link", name="Back to the list").click()
    await expect(page.locator(".sidebar")).to_be_visible()


@needs_browser
async def test_the_fold_is_python_s_in_the_browser_too(world, visit):
    histories = [history("worker", seed, 60) for seed in range(100, 115)]
    histories += [history("service", seed, 60) for seed in range(100, 105)]
    one = await visit()
    shown = await one.page.evaluate(
        """async (histories) => {
            const { WorkerView, ServiceView } = await import("/assets/view.js");
            return JSON.stringify(JSON.parse(histories).map(({ kind, payloads }) => {
                const view = kind === "worker" ? new WorkerView() : new ServiceView();
                for (const payload of payloads) view.apply(payload);
                return view.snapshot();
            }));
        }""",
        json.dumps(histories),
    )
    assert json.loads(shown) == [one["checks"][-1][1] for one in histories]


def test_the_files_hold_nothing_that_parses_markup_or_comes_from_elsewhere():
    sources = [CONSOLE / "index.html", *(CONSOLE / "assets").iterdir()]
    assert len(sources) > 10
    for source in sources:
        text = source.read_text(encoding="utf-8")
        parses = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|srcdoc"
        parses += r"|createContextualFragment|setHTML|new Function|localStorage|document\.cookie"
        assert re.findall(parses, text) == [], source.name
        elsewhere = re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", text)
        assert [url for url in elsewhere if "www.w3.org" not in url] == [], source.name
    page = (CONSOLE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page) == []
