"""A watch hears every save from the moment it is entered."""

import asyncio

import pytest

from yoi.serving.watching import Watch


@pytest.fixture
def stop():
    return asyncio.Event()


async def test_a_save_before_anybody_waits_is_heard(tmp_path, stop):
    async with Watch(tmp_path, lambda _: True, stop) as watch:
        (tmp_path / "saved").write_text("x")
        assert await watch.changed()


async def test_a_save_while_the_last_one_is_dealt_with_is_heard(tmp_path, stop):
    async with Watch(tmp_path, lambda _: True, stop) as watch:
        for name in ("one", "two"):
            (tmp_path / name).write_text("x")
            assert await watch.changed()


async def test_what_nobody_wants_is_not_told(tmp_path, stop):
    async with Watch(tmp_path, lambda path: path.name == "wanted", stop) as watch:
        waiting = asyncio.ensure_future(watch.changed())
        (tmp_path / "other").write_text("x")
        (tmp_path / "wanted").write_text("x")
        assert await waiting


async def test_stop_ends_it(tmp_path, stop):
    async with Watch(tmp_path, lambda _: True, stop) as watch:
        stop.set()
        assert not await watch.changed()


async def test_it_can_be_left_while_it_waits(tmp_path, stop):
    async with Watch(tmp_path, lambda _: True, stop):
        pass
