"""A day's budget: reached, told once, waited out."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.workers.worlds import World, run_ended, tool

from yoi.errors import WorkerError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.budget import DAY_MS, Budget, Price, Spent, next_day_ms
from yoi.workers.engine import Answer, TokenUsage
from yoi.workers.prices import priced
from yoi.workers.profile import WorkerProfile

PRICE = Price(Decimal(3), Decimal(15))


class Costly:
    """Calls its tool twice, then says so; each call costs 600 tokens."""

    name = "costly"

    def __init__(self):
        self.calls = 0

    async def ask(self, request):
        self.calls += 1
        part = it.Text("ok") if self.calls % 3 == 0 else it.Call("c", "echo", '{"text":"x"}')
        yield Answer([part], TokenUsage(500, 100))

    async def close(self):
        pass


@pytest.mark.parametrize(
    "budget", [Budget(tokens=1000), Budget(money=Decimal("0.005"), price=PRICE)]
)
async def test_a_spent_budget_is_waited_out_in_the_middle_of_a_run(budget):
    async with World(Costly(), [tool()], budget=budget) as world:
        begun = world.clock.wall_ms()
        await world.worker.send("go")
        await world.until(run_ended("finished"))
        items = await world.items()
        assert items[-1].result == "finished"
        days = [i.at_ms // DAY_MS - begun // DAY_MS for i in items if isinstance(i, it.Usage)]
        assert days == [0, 0, 1]
        alerts = [e.data for e in world.heard if isinstance(e, ev.Alert)]
        assert [a.source for a in alerts] == ["budget"]
        assert world.worker.status().tokens_today == 600


async def test_what_waits_for_the_budget_is_seen_and_survives_a_restart():
    async with World(Costly(), [tool()], budget=Budget(tokens=1)) as world:
        await world.run("go")
        await world.restart(sleep=lambda _: __import__("asyncio").Event().wait())
        await world.worker.send("more")
        await world.until_status("paused")
        status = world.worker.status()
        assert (status.waiting, status.paused_by) == (1, "the budget of 1 tokens a day is spent")


def test_money_needs_a_price():
    row = {"name": "w", "model": "openai:m", "api_key": "k", "money_per_day": "2.50"}
    price = {"input": "3", "output": "15"}
    assert priced(WorkerProfile.parse({**row, "price": price})).price == PRICE
    free = {key: value for key, value in row.items() if key != "money_per_day"}
    assert priced(WorkerProfile.parse(free)).price is None
    for model, more in (
        ("openai:no-such-model", {}),
        ("nobody:gpt-4o", {}),
        ("openai:gpt-4o", {"base_url": "http://127.0.0.1:1/v1"}),
        ("openai:gpt-4o", {"fallbacks": [{"model": "openai:no-such-model"}]}),
    ):
        with pytest.raises(WorkerError) as caught:
            priced(WorkerProfile.parse({**row, "model": model, **more}))
        assert caught.value.code == "worker.profile"
        assert "price" in caught.value.hint
    listed = priced(WorkerProfile.parse({**row, "model": "openai:gpt-4o"})).price
    dearer = [{"model": "anthropic:claude-opus-4-1"}]
    highest = priced(
        WorkerProfile.parse({**row, "model": "openai:gpt-4o", "fallbacks": dearer})
    ).price
    assert 0 < listed.input < highest.input
    assert 0 < listed.output < highest.output
    for wrong in ("-1", "1e9", "nan", "two", ""):
        with pytest.raises(WorkerError):
            WorkerProfile.parse({**row, "price": price, "money_per_day": wrong})


@given(st.integers(0, 10**15))
def test_the_next_day_is_ahead_and_begins_at_nothing(now):
    spent = Spent()
    spent.add(now, 5, 7)
    assert spent.today(now) == (5, 7)
    assert 0 < next_day_ms(now) - now <= DAY_MS
    assert spent.today(next_day_ms(now)) == (0, 0)
