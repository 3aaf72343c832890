"""`yoi ticket` as a person and a script use it."""

import json
import stat
from pathlib import Path

import pytest

HOSTILE = "\x1b[2J[red]x[/red]\u202egnp.exe"
TEXT = "# A\n\n## Acceptance\n\n- it opens\n"


@pytest.fixture
def ticket(yoi, workspace):
    """Return a function that runs a ticket command and decodes its JSON."""

    def call(*arguments, status=0):
        ran = yoi("ticket", *arguments, "--json")
        assert ran.status == status, ran.err
        return json.loads(ran.out or ran.err)

    return call


def test_from_new_to_closed(ticket):
    made = ticket("new", "Mend the door", "--message", TEXT, "--author", "ada")["ticket"]
    name = made["id"]
    assert (made["title"], made["state"]) == ("Mend the door", "planning")
    ticket("comment", name, "-m", "soon", "--kind", "decision")
    ticket("state", name, "ready")
    assert ticket("queue", name)["ticket"]["front_matter"]["queued_by"]
    ticket("state", name, "inprogress", "--reason", "begun")
    ticket("state", name, "done")
    ticket("review", name, "approve", "-m", "fine")
    closed = ticket("close", name, "--resolution", "It opens.")["ticket"]
    assert (closed["state"], closed["has_resolution"]) == ("closed", True)
    shown = ticket("show", name)
    assert [event["kind"] for event in shown["events"]] == [
        "create", "decision", "state_changed", "state_changed", "state_changed", "state_changed",
        "review", "state_changed",
    ]  # fmt: skip
    assert shown["resolution"] == "It opens.\n"
    assert ticket("doctor")["oddities"] == []


def test_a_refusal_names_what_is_missing_and_the_next_command(ticket):
    name = ticket("new", "A", "-m", "nothing")["ticket"]["id"]
    refused = ticket("state", name, "ready", status=1)
    assert refused["error"]["code"] == "ticket.transition"
    assert "## Acceptance" in refused["error"]["message"]
    for arguments in (
        ("state", name, "finished"),
        ("comment", name, "--kind", "state_changed", "-m", "x"),
        ("comment", name),
    ):
        assert ticket(*arguments, status=2)["error"]["code"] == "usage.arguments"
    assert ticket("show", "nonsense", status=1)["error"]["hint"] == "yoi ticket list"


def test_filters_and_bounds(ticket):
    names = [ticket("new", f"item {n}", "-m", TEXT)["ticket"]["id"] for n in range(3)]
    ticket("state", names[1], "ready")
    assert [one["id"] for one in ticket("list", "--state", "ready")["tickets"]] == [names[1]]
    assert [one["id"] for one in ticket("list", "--text", "ITEM 2")["tickets"]] == [names[2]]
    listed = ticket("list", "--most", "1")
    assert (len(listed["tickets"]), listed["left_out"]) == (1, 2)
    ticket("relate", names[0], "depends_on", names[1], "--note", "first")
    shown = ticket("show", names[0], "--events", "1")
    assert shown["blockers"] == [{"id": names[1], "state": "ready"}]
    assert shown["events_left_out"] == 1
    edited = ticket("edit", names[0], "--title", "New", "--assignee", "bob")["ticket"]
    assert (edited["title"], edited["front_matter"]["assignee"]) == ("New", "bob")


def test_what_others_wrote_is_data_on_the_screen(yoi, workspace, ticket):
    name = ticket("new", "A", "-m", TEXT + HOSTILE)["ticket"]["id"]
    ticket("comment", name, "-m", HOSTILE)
    damaged = workspace / ".yoi/tickets" / f"{name[:-1]}{'1' if name[-1] == '0' else '0'}"
    damaged.mkdir()
    (damaged / "item.md").write_text(f"---\ntitle: &a {HOSTILE}\n---\n")
    for arguments in (("show", name), ("list",), ("doctor",)):
        ran = yoi("ticket", *arguments)
        assert "\x1b" not in ran.out
        assert "\u202e" not in ran.out
    assert "[red]x[/red]" in yoi("ticket", "show", name).out
    assert "damaged" in yoi("ticket", "list").out


def test_an_editor_writes_long_text(yoi, workspace, ticket, monkeypatch, tmp_path):
    editor = tmp_path / "edit"
    editor.write_text('#!/bin/sh\ngrep -q "## Acceptance" "$1" && echo "- by hand" >> "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    name = ticket("new", "A door")["ticket"]["id"]
    assert "- by hand" in ticket("show", name)["body"]
    for editor_ in ("false", "/nowhere/an-editor", "an 'open quote"):
        monkeypatch.setenv("EDITOR", editor_)
        assert ticket("edit", name, status=2)["error"]["code"] == "usage.arguments"
    # What was written is kept where it cannot be taken.
    monkeypatch.setenv("EDITOR", str(editor))
    editor.write_text("#!/bin/sh\nprintf 'hours of work\\377' > \"$1\"\n")
    hint = ticket("comment", name, status=1)["error"]["hint"]
    kept = Path(hint.partition("kept: ")[2])
    assert kept.read_bytes() == b"hours of work\xff"
    kept.unlink()


def test_an_item_is_shown_though_its_other_files_cannot_be_read(yoi, workspace, ticket):
    name = ticket("new", "A door", "-m", TEXT)["ticket"]["id"]
    folder = workspace / ".yoi/tickets" / name
    (folder / "thread.md").write_bytes(b"one\n\xff")
    (folder / "artifacts/relations.json").write_text("{")
    shown = ticket("show", name)
    assert [one["line"] for one in shown["damage"]] == [2, None]
    out = yoi("ticket", "show", name).out
    assert "it opens" in out
    assert "thread.md, line 2: is not UTF-8" in out
    assert "relations.json is not JSON" in out


def test_an_item_that_only_its_file_queues_is_said_to_be_so(yoi, workspace, ticket):
    name = ticket("new", "A", "-m", TEXT)["ticket"]["id"]
    ticket("state", name, "ready")
    ticket("queue", name)
    assert "in_force" not in ticket("show", name)
    path = workspace / ".yoi/tickets" / name / "item.md"
    path.write_text(path.read_text() + "- and what a pull brought\n")
    assert [one["in_force"] for one in ticket("list")["tickets"]] == [False]
    assert ticket("show", name)["in_force"] is False
    assert "not in force" in yoi("ticket", "list").out
    assert f"yoi ticket queue {name}" in yoi("ticket", "show", name).out
    shown = yoi("ticket", "show", name).out
    (odd,) = [one for one in ticket("doctor")["oddities"] if one["what"] == "queue"]
    assert "not in force" in odd["message"]
    digest = ticket("show", name)["ticket"]["digest"]
    assert digest in shown
    other = "sha256:" + "0" * 64
    assert ticket("queue", name, "--digest", other, status=1)["error"]["code"] == "ticket.changed"
    assert ticket("show", name)["in_force"] is False
    ticket("queue", name, "--digest", digest)
    assert "not in force" not in yoi("ticket", "list").out
