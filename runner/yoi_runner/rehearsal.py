"""One plugin's life before the snapshot (build time).

CPython rewrites code as it runs: it fills caches and specialises instructions. What is done here
is done for every instance, in pages they share, instead of in a copy each.
"""

import json
import linecache
import sys

from yoi_runner.session import Session
from yoi_runner.stdlib import StdlibFinder

_ROUNDS = 8
_PLUGIN = """
import json
from yoi_pdk import Context, Plugin, Send, TextEvent

class Rehearsed(Plugin):
    def start(self, ctx, config):
        self.seen = 0

    def on_text(self, event: TextEvent, ctx: Context):
        self.seen += 1
        frame = json.loads(event.text)
        if frame["n"] == 3:
            return Send("x", connection="c")
        return event.reply(json.dumps({"type": "reply", "id": frame["id"]}))

    def status(self):
        return {"seen": self.seen}
"""
_FRAME = '{"type":"event","id":"a","n":%d,"event":{"text":"a message \\u00e9","flags":[1,null]}}'
_BROKEN = "{"


def rehearse(stdlib: StdlibFinder) -> None:
    """Load, start, use and stop a plugin; afterwards nothing of it is left."""
    finders = list(sys.meta_path)
    source = {"files": ["rehearsed.py"], "entry": "rehearsed:Rehearsed", "name": "rehearsed"}
    for _ in range(_ROUNDS):
        session = Session(stdlib, lambda level, message: None, _file)
        _succeeded(session.load(json.dumps(source)))
        _succeeded(session.start("{}"))
        dispatch = session.dispatcher()
        frames = [_FRAME % number for number in range(12)]
        for texts in (frames, frames[:1], [_BROKEN]):
            dispatch(_batch(texts))
        _succeeded(session.status())
        _succeeded(session.stop())
        del sys.modules["rehearsed"]
        sys.meta_path[:] = finders
        linecache.clearcache()


def _file(op: str, argument: str) -> str:
    return json.dumps({"ok": {"text": _PLUGIN}})


def _batch(texts: list[str]) -> str:
    run = ["t", "in", "c", "s", 1, 0, 1, [len(text) for text in texts]]
    return json.dumps([1000, [run]]) + "\n" + "".join(texts)


def _succeeded(answer: str) -> None:
    if "ok" not in json.loads(answer):
        raise RuntimeError(answer)
