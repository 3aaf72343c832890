"""`make workers`: a few days of the month; nothing is lost, bricked or hidden."""

from chaos.workers import Month


async def test_three_days_lose_nothing():
    done = await Month(seed=6).run(days=3, a_day=12)
    assert [done[key] for key in ("lost", "bricked", "hidden", "needless", "illegal")] == [0] * 5
    assert done["answered"] + done["set_aside"] >= done["messages"]
    assert done["set_aside"] > 0 < done["undecided"]
