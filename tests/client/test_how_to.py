"""The Python of docs/how-to/observe.md runs, and does what the page says."""

import re
from pathlib import Path

from tests.client.frames import base, event, resumed, said, told
from tests.client.scripted import says, scripted

from yoi.client import Ended, Event, Resumed, Snapshot

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "observe.md"


def snippet(name):
    for text in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        if f"def {name}(" in text:
            names = {}
            exec(compile(text, str(PAGE), "exec"), names)
            return names[name]
    raise AssertionError(f"the page has no {name}")


async def test_following(capsys):
    shown = event(2, said("hello"))
    gone = says(told("stream_closed"), close=4502)
    again = says(told("lagged", dropped=3), base(9), close=1000)
    async with scripted(says(base(1), shown, close=1000), again, gone) as server:
        await snippet("follow")(server.url, "token", "w")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "is idle"
    assert '"hello"' in printed[1]
    assert printed[2].startswith("away: the server closed with 1000")
    assert printed[3:5] == ["missed 3 backend.lagged", "is idle"]
    assert printed[-2:] == ["gone for good", "it was idle"]


async def test_going_on_later():
    script = says(base(4), resumed("c4"), event(5, said("x")), told("stream_closed"), close=4502)
    async with scripted(script) as server, snippet("later")(server.url, "t", "w", "c4") as watch:
        kinds = [type(value) async for value in watch]
    assert kinds == [Snapshot, Resumed, Event, Ended]
    assert server.paths[0].endswith("?cursor=c4&snapshot=always")
