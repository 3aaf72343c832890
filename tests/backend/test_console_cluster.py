"""M5: what a person at the console sees of a deployment: machines, takeovers, what runs nowhere."""

import pytest_asyncio
from playwright.async_api import async_playwright, expect
from tests.backend import scenes
from tests.backend.console_world import ConsoleWorld
from tests.backend.test_console import CHROMIUM, FLAGS, needs_browser

from yoi.backend.cluster_source import ClusterSource
from yoi.cluster.directory import Address
from yoi.cluster.records import Move, Record
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.types import Secret, SystemClock

QUICK = Limits(publication_ms=50, upstream_backoff_first_ms=50, upstream_backoff_max_ms=100)
LOOK = "window.dispatchEvent(new Event('online'))"
"""Has the page look at the list at once."""
ECHO = Subject(SubjectKind.SERVICE, "echo", "desk")


class Owners:
    """Who has what, as a directory on the servers says it."""

    def __init__(self):
        self.addresses = {one: Address(f"machine-{one}", f"ws://{one}") for one in "ab"}
        self.records = {"service:echo": Record("a", "machine-a", 1)}

    async def look(self):
        pass


@pytest_asyncio.fixture(loop_scope="module")
async def desk(tmp_path):
    """Yield a console of two runtimes, with the machines behind it."""
    owners, machines = Owners(), {}
    for one in "ab":
        (tmp_path / one).mkdir()
        machines[f"machine-{one}"] = ConsoleWorld(tmp_path / one)
        if one == "b":
            machines["machine-b"].worker("first")  # the service's stream has another epoch then
        machines[f"machine-{one}"].service("echo", scenes.service_status(runtime=f"on-{one}"))
    world = ConsoleWorld(tmp_path)
    source = ClusterSource(
        "desk", owners, Secret("t", "t"), SystemClock(), QUICK,
        lambda address: machines[address.machine].source,
    )  # fmt: skip
    world.others = [source]
    await world.start()
    yield world, owners, machines
    await world.stop()


@needs_browser
async def test_a_takeover_is_seen_where_it_happens_and_in_the_list(desk):
    world, owners, machines = desk
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page()
        await page.goto(world.link())
        row = page.locator(".sidebar").get_by_role("link", name="echo")
        await expect(row).to_contain_text("on machine-a")
        await row.click()
        await expect(page.locator(".strip")).to_have_attribute("data-level", "live")
        await expect(page.locator(".facts")).to_contain_text("on-a")
        # The machine dies; for a while nothing has the service.
        machines["machine-a"].source.cut(ECHO)
        del owners.addresses["a"]
        await expect(page.locator(".strip")).to_contain_text("lost the runtime")
        await page.evaluate(LOOK)
        await expect(row).to_contain_text("unreachable")
        move = Move(SystemClock().wall_ms(), "machine-a", "machine-b", "died")
        owners.records["service:echo"] = Record("b", "machine-b", 2, moves=(move,), moved=1)
        # The same page goes on with the other machine's, and says that it began anew.
        await expect(page.locator(".facts")).to_contain_text("on-b")
        await expect(page.locator(".notes")).to_contain_text("resynced because")
        await page.evaluate(LOOK)
        await expect(row).to_contain_text("on machine-b")
        await page.get_by_role("link", name="Yoi console").click()
        moves = page.locator(".moves li")
        await expect(moves).to_have_count(1)
        await expect(moves).to_contain_text("echo on machine-b, from machine-a, which died")
        card = page.locator(".overview .link").filter(has_text="echo")
        await expect(card).to_contain_text("from machine-a, which died")
        # Taken over too often: it runs nowhere, and a person reads what to do.
        barred = Record("", "machine-b", 2, barred="taken over 3 times", moves=(move,), moved=1)
        owners.records["service:echo"] = barred
        await page.evaluate(LOOK)
        call = page.locator(".needs").filter(has_text="is barred")
        await expect(call).to_contain_text("is barred, last on machine-b: taken over 3 times")
        await expect(call).to_contain_text("yoi cluster release service:echo")
        await browser.close()
