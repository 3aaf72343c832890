"""Plain pytest: no host, no sandbox, no network."""

from plugin import Echo

from yoi_pdk.testing import PluginHarness, gap_event, open_event


def test_it_answers() -> None:
    plugin = PluginHarness(Echo, config={"prefix": "> "})
    assert plugin.replies("hello") == ["> hello"]
    assert plugin.status() == {"answered": 1, "gaps": 0}


def test_it_notices_gaps() -> None:
    plugin = PluginHarness(Echo)
    assert plugin.event(open_event()) == []
    assert plugin.event(gap_event()) == []
    assert plugin.status()["gaps"] == 1
