"""What a person reads where code used what the sandbox does not have."""

import pytest

from yoi.packages.unavailable import explained

DENIED = "[Errno 2] Permission denied"
NO_FILE = "[Errno 44] No such file or directory: 'data.txt'"
NONE = "'NoneType' object has no attribute 'lower'"


def trace(line):
    return (
        "plugin/plugin.py:19 in Echo.on_text\n    self.go()\n"
        f"plugin/plugin.py:23 in Echo.go\n    {line}"
    )


@pytest.mark.parametrize(
    ("line", "kind", "message", "says", "hint"),
    [
        ('open("data.txt").read()', "FileNotFoundError", NO_FILE, "open() cannot", "importlib"),
        ('Path("data.txt").read_text()', "FileNotFoundError", NO_FILE, "no files", "ctx.state"),
        ('os.makedirs("cache")', "FileNotFoundError", NO_FILE, "os.makedirs()", "ctx.state"),
        ('os.environ["TOKEN"]', "KeyError", "'TOKEN'", "os.environ is empty", "ctx.config"),
        ('os.getenv("T").lower()', "AttributeError", NONE, "os.environ is empty", "ctx.config"),
        ("socket.create_connection(there)", "PermissionError", DENIED, "socket does", "[[conn"),
        ("sock.connect(there)", "PermissionError", DENIED, "no sockets", "[[connections]]"),
        ("threading.Thread(target=f).start()", "RuntimeError", "can't start new thread",
         "threading.Thread()", "no threads"),
        ("pool.submit(f)", "RuntimeError", "can't start new thread", "no threads", "no threads"),
        ("asyncio.run(main())", "PermissionError", DENIED, "asyncio.run()", "async def"),
        ("create_task(f())", "RuntimeError", "no running event loop", "no event loop", "async"),
        ('urllib.request.urlopen(url)', "URLError", "<urlopen error unknown url type: https>",
         "urllib.request.urlopen()", "return Request("),
        ('subprocess.run(["ls"])', "OSError", "[Errno 58] wasi does not support processes.",
         "subprocess.run()", "no processes"),
        ('input("?")', "EOFError", "EOF when reading a line", "input()", "ctx.config"),
        ('ZoneInfo("Europe/Berlin")', "ZoneInfoNotFoundError", "'No time zone found'",
         "no time zone data", "yoi plugin add tzdata"),
        ("import requests", "ModuleNotFoundError", "No module named 'requests'",
         "no module requests", "return Request("),
        ("import ssl", "ModuleNotFoundError", "No module named '_ssl'", "no module ssl", "[[conn"),
        ("import humanize", "ModuleNotFoundError", "No module named 'humanize'",
         "no module humanize", "yoi plugin add humanize"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_not_there_and_what_to_use(line, kind, message, says, hint):
    words = explained(kind, message, trace(line))
    assert says in words.message
    assert f"({kind}: {message})" in words.message
    assert words.hint is not None
    assert hint in words.hint


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("reopen(1)", "ValueError", "no"),
        ('self.open("x")', "RuntimeError", "it is closed"),
        ("names[key]", "KeyError", "'TOKEN'"),
        ("found.lower()", "AttributeError", NONE),
        ("open(1)", "ValueError", "open() of what I made"),
        ("from mine import nothing", "ImportError", "cannot import name 'nothing' from 'mine'"),
        ("", "", ""),
    ],
)
def test_the_authors_own_faults_stay_as_they_are(line, kind, message):
    words = explained(kind, message, trace(line))
    assert (words.message, words.hint) == (f"{kind}: {message}" if message else kind, None)


def test_a_failure_without_a_trace_is_said_by_its_kind():
    assert explained("PermissionError", DENIED, "").message.startswith("there are no sockets")
