"""The Python runner from inside: what a plugin's source finds there (S1, S2, S4)."""

import json
from pathlib import Path

import pytest

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.protocol.ingress import TextFrame
from yoi.protocol.outcomes import HandlerFailed, Reply
from yoi.sandbox import runner_build, runner_version
from yoi.types import SessionId

from .conftest import run_on_guest_thread

HEAD = "from yoi_pdk import *\nclass P(Plugin):\n"


def ask(sandbox, source, text="hi", entry="plugin:P", files=None, config="null", name="me"):
    """Return the outcome of one text frame to a fresh plugin."""

    def work():
        package = {"plugin.py": source.encode(), **(files or {})}
        guest = sandbox.load_python(package, entry, name=name)
        try:
            guest.start(config, LIMITS.start_ms)
            frame = TextFrame("events", "gw", SessionId("s"), 1, text, 0, len(text))
            return guest.dispatch([frame], LIMITS.start_ms)[0]
        finally:
            guest.close()

    return run_on_guest_thread(work)


def value(sandbox, expression, setup="", **options):
    """Return what `expression` is inside a handler."""
    source = (
        f"import json\n{setup}\n{HEAD}    def on_text(self, event, ctx):\n"
        f"        return event.reply(json.dumps({expression}))\n"
    )
    outcome = ask(sandbox, source, **options)
    assert isinstance(outcome, Reply), outcome
    return json.loads(outcome.text)


def test_the_version_people_approve_is_the_one_that_runs(sandbox):
    assert value(sandbox, "sys.version.split()[0]", "import sys") == runner_version().python
    assert runner_version().python == runner_build.PYTHON


def test_the_name_and_the_config_reach_the_plugin(sandbox):
    got = value(sandbox, "[ctx.name, ctx.config]", config='{"a": [1]}', name="team-chat")
    assert got == ["team-chat", {"a": [1]}]


def test_modules_packages_and_data_of_the_package_are_found(sandbox):
    files = {
        "pkg/__init__.py": b"from .inner import NAME",
        "pkg/inner.py": b"NAME = 'inner'",
        "loose/mod.py": b"NAME = 'loose'",
        "pkg/words.txt": "größe".encode(),
    }
    got = value(
        sandbox,
        "[pkg.NAME, loose.mod.NAME, files('pkg').joinpath('words.txt').read_text('utf-8'),"
        " __loader__.get_data('pkg/words.txt').decode(), pkg.inner.__file__]",
        "import pkg, loose.mod\nfrom importlib.resources import files",
        files=files,
    )
    assert got == ["inner", "loose", "größe", "größe", "plugin/pkg/inner.py"]


def test_the_standard_library_is_importable_from_memory(sandbox):
    names = (
        "dataclasses decimal statistics datetime zoneinfo hashlib hmac secrets uuid urllib.parse "
        "email.message html.parser csv xml.etree.ElementTree logging tomllib asyncio zlib "
        "concurrent.futures contextvars pathlib typing random re string textwrap unittest"
    )
    assert value(sandbox, f"[importlib.import_module(n).__name__ for n in {names.split()}]",
                 "import importlib") == names.split()  # fmt: skip


def test_the_quick_json_is_the_one_a_plugin_gets(sandbox):
    names = "[f.__globals__['__name__'] for f in (json.loads, loads, json.dumps)]"
    assert value(sandbox, names, "from json import loads") == ["yoi_runner.fast_json"] * 3


def test_nothing_of_the_rehearsal_is_left(sandbox):
    got = value(sandbox, "['rehearsed' in sys.modules, len(sys.meta_path), sys.path]", "import sys")
    assert got == [False, 4, []], "built-in, frozen, library, package"


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_an_idle_instance_is_small(sandbox):
    """Measured 7.1 MB resident, shared pages counted each time; holes in the heap make it more."""

    def memory():
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
        kib = {line.split()[0]: int(line.split()[1]) for line in lines}
        return kib["Rss:"], kib["Private_Dirty:"] + kib["Private_Clean:"]

    def idle():
        source = f"{HEAD}    def on_text(self, event, ctx):\n        return event.reply('x')\n"
        guest = sandbox.load_python({"plugin.py": source.encode()}, "plugin:P")
        guest.start("null", LIMITS.start_ms)
        guest.dispatch([TextFrame("events", "gw", SessionId("s"), 1, "hi", 0, 2)], LIMITS.start_ms)
        return guest

    def work():
        guests = [idle() for _ in range(3)]
        before = memory()
        guests += [idle() for _ in range(20)]
        grown = [(now - then) / 20 for now, then in zip(memory(), before, strict=True)]
        for guest in guests:
            guest.close()
        return grown

    resident, own = run_on_guest_thread(work)
    assert own < 2300
    assert resident < 9000


def test_random_numbers_differ_between_instances(sandbox):
    drawn = {value(sandbox, "random.random()", "import random") for _ in range(3)}
    assert len(drawn) == 3


def test_no_environment_no_files_no_processes(sandbox):
    assert value(sandbox, "dict(os.environ)", "import os") == {}
    for statement in (
        "open('/etc/passwd')",
        "os.listdir('/')",
        "os.system('ls')",
        "__import__('subprocess').run(['ls'])",
        "__import__('socket').create_connection(('127.0.0.1', 9))",
        "__import__('ctypes')",
    ):
        source = f"import os\n{HEAD}    def on_text(self, event, ctx):\n        {statement}\n"
        assert isinstance(ask(sandbox, source), HandlerFailed), statement


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[" * 100_000 + "]" * 100_000])
def test_a_frame_of_brackets_does_not_end_the_instance(sandbox, text):
    source = (
        f"import json\n{HEAD}    def on_text(self, event, ctx):\n        json.loads(event.text)\n"
    )
    outcome = ask(sandbox, source, text)
    assert isinstance(outcome, HandlerFailed)
    assert outcome.kind == "RecursionError"


def test_what_the_parser_accepts_can_be_used_at_its_deepest(sandbox):
    expression = (
        "[json.loads(json.dumps(v)) == v, len(repr(v)), copy.deepcopy([]) == [],"
        " pickle.loads(pickle.dumps(v)) == v]"
    )
    setup = "import copy, pickle\nv = json.loads('[' * 400 + ']' * 400)"
    assert value(sandbox, expression, setup) == [True, 800, True, True]


def test_runaway_recursion_is_the_handlers_failure(sandbox):
    source = f"{HEAD}    def on_text(self, event, ctx):\n        return self.on_text(event, ctx)\n"
    outcome = ask(sandbox, source)
    assert isinstance(outcome, HandlerFailed)
    assert outcome.kind == "RecursionError"


def test_a_failure_shows_the_authors_lines(sandbox):
    source = f"{HEAD}    def on_text(self, event, ctx):\n        return 1 / 0\n"
    outcome = ask(sandbox, source)
    assert isinstance(outcome, HandlerFailed)
    assert outcome.kind == "ZeroDivisionError"
    assert outcome.trace == "plugin/plugin.py:4 in P.on_text\n    return 1 / 0"


@pytest.mark.parametrize(
    ("source", "entry", "message"),
    [
        ("x = (", "plugin:P", "SyntaxError: .*line 1"),
        ("1 / 0", "plugin:P", "ZeroDivisionError"),
        ("raise SystemExit(0)", "plugin:P", "SystemExit"),
        ("", "plugin:P", "has no class P"),
        ("P = 1", "plugin:P", "not a subclass of yoi_pdk.Plugin"),
        ("class P: pass", "plugin:P", "not a subclass of yoi_pdk.Plugin"),
        ("", "missing:P", "No module named 'missing'"),
    ],
)
def test_a_package_that_does_not_load_says_why(sandbox, source, entry, message):
    with pytest.raises(GuestRefused, match=message) as caught:
        ask(sandbox, source, entry=entry)
    assert caught.value.code == "sandbox.load"


@pytest.mark.parametrize("name", ["json.py", "random.py", "decimal/x.py", "yoi_pdk.py"])
def test_a_module_of_python_cannot_be_hidden(sandbox, name):
    with pytest.raises(GuestRefused, match="rename yours"):
        ask(sandbox, HEAD + "    pass\n", files={name: b""})


@pytest.mark.parametrize(
    "body",
    ["def start(self, ctx, config): raise SystemExit", "def status(self): return [1]",
     "def __init__(self): 1 / 0", "def start(self): pass"],
)  # fmt: skip
def test_a_start_that_fails_is_refused(sandbox, body):
    with pytest.raises(GuestRefused) as caught:
        ask(sandbox, f"{HEAD}    {body}\n")
    assert caught.value.code == "sandbox.start"


def test_garbage_in_circles_is_collected_before_a_plugin_is_out_of_memory(sandbox):
    """Few and large objects in cycles: CPython's collector counts objects, not bytes."""
    source = f"""{HEAD}
    def on_text(self, event, ctx):
        circle = [bytearray(9 << 20)]
        circle.append(circle)
        return event.reply("well")
"""

    def work():
        guest = sandbox.load_python({"plugin.py": source.encode()}, "plugin:P")
        guest.start("null", LIMITS.start_ms)
        try:
            for seq in range(12):
                frame = TextFrame("events", "gw", SessionId("s"), seq, "x", 0, 1)
                assert guest.dispatch([frame], LIMITS.start_ms) == [Reply("well")]
        finally:
            guest.close()

    run_on_guest_thread(work)


def test_memory_that_stays_used_up_is_told_apart(sandbox):
    source = f"""{HEAD}
    kept = []
    def on_text(self, event, ctx):
        self.kept.append(bytearray(40 << 20))
    def on_tool(self, call, ctx):
        self.kept.append(bytearray(40 << 20))
"""

    def work():
        guest = sandbox.load_python({"plugin.py": source.encode()}, "plugin:P")
        guest.start("null", LIMITS.start_ms)
        frame = TextFrame("events", "gw", SessionId("s"), 1, "x", 0, 1)
        try:
            guest.dispatch([frame], LIMITS.start_ms)
            (outcome,) = guest.dispatch([frame], LIMITS.start_ms)
            with pytest.raises(GuestRefused) as refused:
                guest.call_tool("t", "{}", LIMITS.start_ms)
            return outcome.code, outcome.message, refused.value.code
        finally:
            guest.close()

    told = run_on_guest_thread(work)
    assert told == ("sandbox.memory", "the plugin's memory is used up", "sandbox.memory")


def test_a_frame_that_cannot_be_parsed_within_the_memory_is_refused_before_the_guest(sandbox):
    source = f"{HEAD}    def on_text(self, event, ctx):\n        return event.reply('seen')\n"
    dense = json.dumps([{"entity_id": f"s{n:07d}", "state": n} for n in range((7 << 20) // 39)])
    wordy = json.dumps({"text": "one, [two], " * (1 << 19)})

    def work(memory_bytes, text):
        guest = sandbox.load_python(
            {"plugin.py": source.encode()}, "plugin:P", memory_bytes=memory_bytes
        )
        guest.start("null", LIMITS.start_ms)
        try:
            frame = TextFrame("events", "gw", SessionId("s"), 1, text, 0, len(text))
            return guest.dispatch([frame], LIMITS.start_ms)
        finally:
            guest.close()

    with pytest.raises(GuestRefused) as refused:
        run_on_guest_thread(lambda: work(64 << 20, dense))
    assert refused.value.code == "sandbox.memory"
    assert "memory_bytes" in refused.value.hint
    assert run_on_guest_thread(lambda: work(128 << 20, dense)) == [Reply("seen")]
    assert run_on_guest_thread(lambda: work(64 << 20, wordy)) == [Reply("seen")]
