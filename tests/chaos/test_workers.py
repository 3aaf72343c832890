"""`make workers`: a few days of the month; nothing is lost, bricked or hidden."""

from chaos.workers import Month


async def test_three_days_lose_nothing():
    done = await Month(seed=4).run(days=3, a_day=12)
    assert (done["lost"], done["bricked"], done["hidden"], done["needless"]) == (0, 0, 0, 0)
    assert done["answered"] + done["set_aside"] >= done["messages"]
    assert done["set_aside"] > 0
