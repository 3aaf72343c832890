"""A watch hears every save from the moment it is entered."""

import asyncio
import os
from dataclasses import replace

import pytest

from yoi.limits import LIMITS
from yoi.serving import watching
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


async def test_files_that_it_is_told_of_may_come_be_replaced_and_go(tmp_path, stop):
    """An editor writes beside the file and renames; what stands at the path then is listened to."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("x")
    seldom = replace(LIMITS, look_ms=60_000)
    async with Watch(
        tmp_path, lambda path: path in (one, other), stop, limits=seldom, told_of=(one, other)
    ) as watch:
        for number in range(4):
            beside = tmp_path / f"beside-{number}"
            beside.write_text(f"x{number}")
            beside.replace(one)
            assert await watch.changed()
        one.unlink()
        assert await watch.changed()
        waiting = asyncio.ensure_future(watch.changed(within=0))
        other.write_text("y")
        assert await waiting
        other.write_text("yy")
        assert await watch.changed()


async def test_a_file_that_it_is_told_of_may_be_made_later(tmp_path, stop):
    """A look finds it; from then on it is listened to."""
    made = tmp_path / "made"
    often = replace(LIMITS, look_ms=10)
    async with Watch(
        tmp_path, lambda path: path == made, stop, limits=often, told_of=(made,)
    ) as watch:
        waiting = asyncio.ensure_future(watch.changed())
        made.write_text("x")
        assert await waiting


LOOK_OFTEN = replace(LIMITS, look_ms=10)
"""So that a test waits for a look, and not for long."""


def blind(monkeypatch):
    """Let the operating system tell of nothing."""

    async def silence(*_, stop_event, **__):
        await stop_event.wait()
        for never in ():
            yield never

    monkeypatch.setattr(watching, "awatch", silence)


def watched(folder, stop):
    return Watch(folder, lambda path: path.name != "other", stop, (folder / "file",), LOOK_OFTEN)


async def test_what_the_operating_system_does_not_tell_is_seen(tmp_path, stop, monkeypatch):
    blind(monkeypatch)
    async with watched(tmp_path, stop) as watch:
        for text in ("one", "two"):
            (tmp_path / "file").write_text(text)
            assert await watch.changed()
        (tmp_path / "beside").write_text("x")
        assert await watch.changed()
        (tmp_path / "beside").unlink()
        assert await watch.changed()


async def test_the_target_of_a_link_may_be_edited(tmp_path, stop, monkeypatch):
    blind(monkeypatch)
    folder, target = tmp_path / "w", tmp_path / "target"
    folder.mkdir()
    target.write_text("one")
    (folder / "file").symlink_to(target)
    async with watched(folder, stop) as watch:
        target.write_text("two")
        assert await watch.changed()


async def test_a_link_on_the_way_may_be_swapped(tmp_path, stop, monkeypatch):
    blind(monkeypatch)
    for name in ("..v1", "..v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "file").symlink_to("..data/file")
    async with watched(tmp_path, stop) as watch:
        (tmp_path / "..new").symlink_to("..v2")
        os.replace(tmp_path / "..new", tmp_path / "..data")
        assert await watch.changed()


async def test_a_folder_may_be_moved_away_and_back(tmp_path, stop):
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / "file").write_text("one")
    async with watched(folder, stop) as watch:
        folder.rename(tmp_path / "away")
        assert await watch.changed()
        (tmp_path / "away").rename(folder)
        assert await watch.changed()
        (folder / "file").write_text("two")
        assert await watch.changed()


async def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path, stop, monkeypatch):
    blind(monkeypatch)
    file = tmp_path / "file"
    file.write_text("one")
    before = file.stat()
    async with watched(tmp_path, stop) as watch:
        file.write_text("two")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert await watch.changed()


async def test_without_notification_it_looks_and_says_so_once(tmp_path, stop, monkeypatch):
    def none_left(*_, **__):
        raise OSError(24, "Too many open files")

    async def failing(*_, **__):
        none_left()
        yield

    monkeypatch.setattr(watching, "awatch", failing)
    async with watched(tmp_path, stop) as watch:
        assert await watch.changed(), "so that the warning is told at once"
        assert watch.fault.code == "serving.watch"
        (tmp_path / "file").write_text("x")
        assert await watch.changed()
        stop.set()
        assert not await watch.changed()


async def test_it_returns_when_something_is_due(tmp_path, stop, monkeypatch):
    blind(monkeypatch)
    async with watched(tmp_path, stop) as watch:
        assert await watch.changed(0.02)
