"""A folder below `.yoi` is used where it lies in the workspace, whatever its path says by then."""

import os

import pytest

from yoi import folders
from yoi.durable import rename_file, replace_file
from yoi.folders import LeadsOut, held, hint_of, make_folder, open_file, remove_file


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "ws" / ".yoi" / "plugins").mkdir(parents=True)
    (tmp_path / "outside" / "plugins").mkdir(parents=True)
    for folder in ("outside", "outside/plugins"):
        (tmp_path / folder / "file").write_bytes(b"of somebody else")
    return tmp_path / "ws"


def swap(place, outside):
    place.rename(place.with_name("moved"))
    place.symlink_to(outside)


DONE = {
    "replace": lambda path: replace_file(path, b"new", 0o600),
    "open": lambda path: os.close(open_file(path, os.O_RDWR | os.O_CREAT)),
    "read": lambda path: os.close(open_file(path, os.O_RDONLY)),
    "make": lambda path: make_folder(path.with_name("made")),
    "remove": remove_file,
    "rename": lambda path: rename_file(path, "other"),
}


@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
@pytest.mark.parametrize("place", [".yoi", ".yoi/plugins"])
def test_nothing_is_done_where_a_link_leads_out(done, place, workspace):
    link, outside = workspace / place, workspace.with_name("outside")
    outside = outside / "plugins" if place != ".yoi" else outside
    swap(link, outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(LeadsOut, match="leads out of the workspace, to") as caught:
        done(workspace / ".yoi" / "plugins" / "file")
    assert hint_of(caught.value) == f"put a folder in its place: rm {link}"
    assert sorted(outside.rglob("*")) == before
    assert (outside / "file").read_bytes() == b"of somebody else"


def test_what_is_held_stays_the_same_folder(workspace):
    place, outside = workspace / ".yoi" / "plugins", workspace.with_name("outside")
    with held(place) as folder:
        swap(place, outside)
        os.close(os.open("mine", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    assert os.listdir(place.with_name("moved")) == ["mine"]
    assert sorted(os.listdir(outside)) == ["file", "plugins"]


def test_a_link_to_another_folder_of_the_workspace_is_followed(workspace):
    (workspace / "elsewhere").mkdir()
    (workspace / ".yoi" / "tickets").symlink_to("../elsewhere")
    make_folder(workspace / ".yoi" / "tickets" / "one" / "two")
    replace_file(workspace / ".yoi" / "tickets" / "one" / "file", b"x", 0o600)
    assert (workspace / "elsewhere" / "one" / "file").read_bytes() == b"x"


def test_a_workspace_may_itself_be_reached_by_a_link_or_lie_in_another_one(workspace):
    inner = workspace / ".yoi" / "demo"
    make_folder(inner / ".yoi" / "run", 0o700)
    link = workspace.with_name("link")
    link.symlink_to(inner)
    replace_file(link / ".yoi" / "run" / "file", b"x", 0o600)
    assert (inner / ".yoi" / "run" / "file").read_bytes() == b"x"
    (inner / ".yoi" / "up").symlink_to(workspace / ".yoi" / "plugins")
    with pytest.raises(LeadsOut):
        replace_file(link / ".yoi" / "up" / "file", b"x", 0o600)


def test_folders_are_made_with_their_mode_and_may_be_there(workspace):
    for _ in range(2):
        make_folder(workspace / ".yoi" / "run", 0o700)
    assert (workspace / ".yoi" / "run").stat().st_mode & 0o777 == 0o700
    (workspace / ".yoi" / "nowhere").symlink_to(workspace / "not-there")
    with pytest.raises(FileExistsError):
        make_folder(workspace / ".yoi" / "nowhere")
    assert not (workspace / "not-there").exists()
    remove_file(workspace / ".yoi" / "run" / "not-there")


def test_a_link_is_not_opened_and_a_fifo_does_not_wait(workspace):
    (workspace / ".yoi" / "link").symlink_to("plugins")
    with pytest.raises(OSError, match="symbolic links"):
        open_file(workspace / ".yoi" / "link", os.O_RDONLY)
    os.mkfifo(workspace / ".yoi" / "fifo")
    os.close(open_file(workspace / ".yoi" / "fifo", os.O_RDONLY))


def test_no_descriptor_is_left(workspace, monkeypatch):
    swap(workspace / ".yoi" / "plugins", workspace.with_name("outside"))
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        for done in DONE.values():
            with pytest.raises(LeadsOut):
                done(workspace / ".yoi" / "plugins" / "file")
    monkeypatch.setattr(folders, "_DEPTH", 1)
    with pytest.raises(LeadsOut), held(workspace / ".yoi" / "moved"):
        pass
    assert len(os.listdir("/dev/fd")) == before
