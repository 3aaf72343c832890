"""What check knows of a plugin's source without running it (H3)."""

import pytest

from yoi.packages import read_package
from yoi.packages.source_review import HANDLERS, review_source
from yoi_pdk.handlers import BY_KIND

MANIFEST = """
schema_version = 1
id = "mine"
name = "mine"
version = "1"

[runtime]
kind = "python"
runner = "1"
entry = "plugin:P"

[[ingresses]]
name = "events"

[[connections]]
name = "gateway"
ingress = "events"
url = "wss://chat.example.com/ws"

[[request]]
name = "api"
scheme = "https"
host = "api.example.com"
methods = ["GET"]

[[secrets]]
name = "token"
request = "api"
at = ["/headers/authorization"]

[[permissions]]
kind = "notify"
name = "triage"
"""
HEAD = "from yoi_pdk import *\nfrom yoi_pdk import Plugin, Send, Request, Notify, Open\n"
BODY = "    def on_text(self, event, ctx):\n        "


@pytest.fixture
def review(tmp_path):
    def run(source, files=None):
        (tmp_path / "plugin.toml").write_text(MANIFEST)
        (tmp_path / "plugin.py").write_text(source)
        for name, text in (files or {}).items():
            (tmp_path / name).write_text(text)
        return [f"{one.message} | {one.hint}" for one in review_source(read_package(tmp_path))]

    return run


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import requests", "no sockets in the sandbox; return Request("),
        ("from requests import get", "no sockets in the sandbox; return Request("),
        ("import httpx as h", "return Request("),
        ("import urllib.request", "return Request("),
        ("import socket", "[[connections]]"),
        ("import websockets", "[[connections]]"),
        ("from http import client", "return Request("),
        ("import numpy", "compiled code"),
        ("import pydantic", "pydantic-core"),
        ("import sqlite3", "no files"),
        ("import bz2", "zlib"),
        ("import cgi, json", "no module cgi"),
        ("import humanize", "yoi plugin add humanize"),
        ("from humanize.time import x", "yoi plugin add humanize"),
    ],
)
def test_an_import_that_cannot_work_names_what_to_use(review, line, words):
    (found,) = review(f"import json\n{line}\n{HEAD}class P(Plugin):\n    pass\n")
    assert "plugin.py, line 2: " in found
    assert words in found


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("open('x')", "importlib.resources"),
        ("import os; os.environ['A']", "ctx.config"),
        ("import os as o; o.environ.get('A')", "ctx.config"),
        ("from os import environ; environ['A']", "ctx.config"),
        ("import os; os.getenv('A')", "ctx.config"),
        ("import time; time.sleep(1)", "TimerSet"),
        ("from time import sleep; sleep(1)", "TimerSet"),
        ("import asyncio; asyncio.run(x())", "no event loop"),
        ("import threading; threading.Thread(target=x)", "no threads"),
        ("import subprocess; subprocess.run(['ls'])", "no processes"),
        ("import os; os.system('ls')", "no processes"),
        ("input()", "ctx.config"),
        ("return Send('x', connection='gatewy')", 'did you mean "gateway"?'),
        ("return Open('other')", "declare it under [[connections]]"),
        ("return Request('apii', 'GET', '/')", 'did you mean "api"?'),
        ("return Request(target='x', method='GET', path='/')", "[[request]]"),
        ("return Notify('triag', 'x')", 'did you mean "triage"?'),
        ("return insert_secret('/a', 'tokn')", 'did you mean "token"?'),
    ],
)
def test_what_cannot_run_is_named_with_the_pdks_way(review, code, words):
    head = HEAD + "from yoi_pdk import insert_secret\n"
    (found,) = review(f"{head}class P(Plugin):\n{BODY}{code}\n")
    assert "line 6" in found
    assert words in found


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("def on_text(self, event): pass", "def on_text(self, event, ctx)"),
        ("def on_text(self, event, ctx, more): pass", "def on_text(self, event, ctx)"),
        ("def on_message(self, event, ctx): pass", "did you mean on_text?"),
        ("def on_txt(self, event, ctx): pass", "did you mean on_text?"),
        ("def start(self): pass", "def start(self, ctx, config)"),
        ("async def status(self): pass", "plain function"),
        ("def on_tool(self, call, *, ctx): pass", "def on_tool(self, call, ctx)"),
        ("@on('/a', 1)\n    def anything(self, event): pass", "(self, event, ctx)"),
        ("async def on_text(self, e, c): await Send('x')", "return Send(...)"),
        ("async def on_text(self, e, ctx): await ctx.request(1)", "without await"),
    ],
)
def test_a_handler_that_would_never_be_called_or_fail_is_named(review, method, words):
    head = HEAD + "from yoi_pdk import on\n"
    (found,) = review(f"{head}class P(Plugin):\n    {method}\n")
    assert words in found


@pytest.mark.parametrize(
    "source",
    [
        f"{HEAD}class P(Plugin):\n{BODY}return [Send('x', connection='gateway')]\n",
        f"{HEAD}class P(Plugin):\n{BODY}return Send('x', connection=event.connection)\n",
        f"try:\n    import requests\nexcept ImportError:\n    pass\n{HEAD}",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import requests\n{HEAD}",
        f"{HEAD}class P(Plugin):\n{BODY}return open('x')  # sandbox: ok\n",
        f"{HEAD}open = dict.get\nclass Other:\n    def on_message(self): pass\n",
        f"{HEAD}class P(Plugin):\n    def on_text(self, *args): pass\n",
        f"{HEAD}class P(Plugin):\n    def on_text(self, event, ctx, more=1): pass\n",
        f"{HEAD}class P(Plugin):\n    async def on_text(self, event, ctx): pass\n",
        f"import helper, helper.sub\nfrom . import x\n{HEAD}",
        "not python (",
    ],
)
def test_what_can_run_is_left_alone(review, source):
    assert review(source, {"helper.py": ""}) == []


def test_the_findings_are_bounded(review):
    assert len(review("import requests\n" * 200)) == 50


def test_the_handlers_are_those_of_the_pdk():
    assert set(BY_KIND.values()) | {"on_event", "on_tool", "start", "status", "stop"} == set(
        HANDLERS
    )


def test_a_module_that_is_no_text_is_named(tmp_path, review):
    (tmp_path / "words.py").write_bytes('NAME = "café"\n'.encode("latin-1"))
    (tmp_path / "fine.py").write_bytes('# coding: latin-1\nNAME = "café"\n'.encode("latin-1"))
    found = review(HEAD + "class P(Plugin):\n" + BODY + "return event.reply(1)\n")
    assert len(found) == 1
    assert "words.py is not UTF-8 text" in found[0]
    assert "# coding: latin-1" in found[0]
