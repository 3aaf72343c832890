"""Plain pytest: no host, no sandbox, no network."""

import json

from plugin import WordCount

from yoi_pdk.testing import PluginHarness


def test_it_counts() -> None:
    result = PluginHarness(WordCount).tool("word_count", {"text": "one two\nthree"})
    assert result.summary == "3 words"
    assert json.loads(result.content or "") == {"words": 3, "lines": 2}
