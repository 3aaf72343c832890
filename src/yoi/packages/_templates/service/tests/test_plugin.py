"""Plain pytest: no host, no sandbox, no network."""

import json

from plugin import Notes

from yoi_pdk.testing import PluginHarness


def test_it_keeps_the_newest_notes() -> None:
    plugin = PluginHarness(Notes, config={"most": 2})
    for text in ("a", "b", "c"):
        plugin.tool("note_add", {"text": text})
    listed = plugin.tool("note_list")
    assert json.loads(listed.content or "") == {"notes": ["b", "c"]}
    assert plugin.status() == {"notes": 2}
