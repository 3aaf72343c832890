"""What `yoi mcp approve` writes: these tools of this server, in yoi.toml and the decisions."""

import tomllib

import pytest

from yoi.decisions.entries import entries_of, plain
from yoi.decisions.store import DecisionStore
from yoi.errors import McpError
from yoi.mcp.approving import approve
from yoi.runtime.workspace import operator_file

DIGEST = "sha256:" + "0" * 64
ROWS = {
    "with tables inside": """
[[mcp.servers]]
name = "files"
command = ["a"]   # its program

[[mcp.servers.environment]]
name = "K"
secret = "k"

# about the next
[[mcp.servers]]
name = "other"
command = ["b"]

[[workers]]
name = "w"
""",
    "on lines": """
[mcp]
servers = [
  { name = "files", command = ["a"] },   # its program
  { name = "other", command = ["b"] },
]
""",
    "with tools": f"""
[[mcp.servers]]
name = "files"   # its program
command = ["a"]

[[mcp.servers.tools]]
name = "old"
digest = "{DIGEST}"

[[mcp.servers]]
name = "other"
command = ["b"]
""",
}


@pytest.mark.parametrize("how", ROWS)
def test_only_the_tools_of_the_server_are_others_whatever_its_table_looks_like(tmp_path, how):
    path = operator_file(tmp_path)
    path.parent.mkdir()
    path.write_text(ROWS[how])
    before = tomllib.loads(ROWS[how])
    store = DecisionStore(tmp_path.parent / f"{tmp_path.name}-decisions")
    store.record(tmp_path, {"mcp": plain(before["mcp"])})
    approve(tmp_path, "files", {"two": DIGEST, "one": DIGEST}, store)
    after = tomllib.loads(path.read_text())
    wanted = [{"name": "one", "digest": DIGEST}, {"name": "two", "digest": DIGEST}]
    assert after["mcp"]["servers"][0].pop("tools") == wanted
    before["mcp"]["servers"][0].pop("tools", None)
    assert after == before
    assert "# its program" in path.read_text()
    assert store.entries(tmp_path) == {"mcp": entries_of(tomllib.loads(path.read_text()))["mcp"]}


def test_what_is_pending_is_not_decided_along_the_way(tmp_path):
    path = operator_file(tmp_path)
    path.parent.mkdir()
    path.write_text(ROWS["with tables inside"])
    store = DecisionStore(tmp_path.parent / f"{tmp_path.name}-decisions")
    decided = {"servers": [{"name": "files", "command": ["what was decided"]}]}
    store.record(tmp_path, {"mcp": decided})
    approve(tmp_path, "files", {"one": DIGEST}, store)
    (row,) = store.entries(tmp_path)["mcp"]["servers"]
    assert row["command"] == ["what was decided"]
    with pytest.raises(McpError):
        approve(tmp_path, "nowhere", {"one": DIGEST}, store)
    assert len(store.entries(tmp_path)["mcp"]["servers"]) == 1
