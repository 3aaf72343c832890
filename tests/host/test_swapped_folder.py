"""`.yoi` becomes a link while a host runs: nothing is written where it leads, nothing is lost."""

import asyncio
import shutil

import pytest
from tests.host.test_faulty_parts import ANYWHERE, WELL, saying

import yoi
from yoi.control.client import call
from yoi.decisions.file import read_file
from yoi.decisions.port import WholeWorkspace
from yoi.errors import EnablementError, YoiError
from yoi.runtime.workspace import operator_file
from yoi.serving.tokens import TokenStore, tokens_file


@pytest.fixture
def workspace(tmp_path):
    operator_file(tmp_path / "ws").parent.mkdir(parents=True)
    return tmp_path / "ws"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_host_goes_on_in_the_folder_that_it_opened(workspace, tmp_path):
    place, outside, moved = workspace / ".yoi", tmp_path / "outside", tmp_path / "moved"
    async with saying(workspace, ANYWHERE + WELL) as host:
        shutil.copytree(place, outside, ignore=shutil.ignore_patterns("run"))
        # Of another workspace's host, which was killed: they must be there for its next start.
        for name in ("journal.db-wal", "state.db-wal"):
            (outside / name).write_bytes(b"of somebody else")
        before = contents(outside)
        place.rename(moved)
        place.symlink_to(outside)
        await host.workers["well"].send("hello")
        await host.reload()
        assert [one.name for one in host.workers] == ["well"]
        with pytest.raises(EnablementError) as refused:
            read_file(workspace)
        assert refused.value.hint == f"put a folder in its place: rm {place}"
    assert contents(outside) == before
    # What the hint says; the folder back in its place.
    place.unlink()
    moved.rename(place)
    async with yoi.Host(workspace, decisions=WholeWorkspace()) as host:
        assert "hello" in str(await host.workers["well"].history(0, 10))
        assert await asyncio.to_thread(call, workspace, "worker.list")


def test_a_token_is_not_made_where_the_folder_leads_by_then(workspace, tmp_path):
    store = TokenStore(tokens_file(workspace))
    (tmp_path / "outside").mkdir()
    shutil.rmtree(workspace / ".yoi")
    (workspace / ".yoi").symlink_to(tmp_path / "outside")
    with pytest.raises(YoiError, match="leads out of the workspace"):
        store.revoke("me")
    assert list((tmp_path / "outside").iterdir()) == []
