"""A word that something is free is heard at once, and a flood of them costs a look now and then."""

import asyncio

from tests.journal.nats import running, settings_of

from yoi.cluster.hints import Hints
from yoi.journal.jetstream_server import connected


async def test_a_word_is_heard_and_a_flood_is_heard_as_one(tmp_path):
    with running(tmp_path) as server:
        settings = settings_of(server)
        one, other = await connected(settings), await connected(settings)
        looks, paused, go_on = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()

        async def sleep(_):
            paused.put_nowait(None)
            await go_on.get()

        listening = asyncio.ensure_future(
            Hints(one, settings.prefix, sleep).listen(lambda: looks.put_nowait(None))
        )
        giving = Hints(other, settings.prefix)
        try:
            async with asyncio.timeout(30):
                while looks.empty():
                    await giving.give()
                    await other.flush()
                await paused.get()
                await one.flush()
                before = one.stats["in_msgs"]
                for _ in range(2_000):
                    await giving.give()
                await other.flush()
                await one.flush()
                # Nothing of it came here, and it is looked for once.
                assert one.stats["in_msgs"] == before
                assert looks.qsize() == 1
                go_on.put_nowait(None)
                while looks.qsize() < 3:
                    await giving.give()
                    await other.flush()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await one.close()
            await other.close()
