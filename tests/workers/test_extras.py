"""A provider's library is an extra: without it the worker's error says what to install."""

import importlib.metadata
import json
import subprocess
import sys

import pytest

from yoi.errors import WorkerError
from yoi.types import Secret
from yoi.workers.engines import make_engine
from yoi.workers.extras import extra_of
from yoi.workers.profile import WorkerProfile


class Secrets:
    """A key for every name."""

    def secret(self, name: str) -> Secret | None:
        return Secret(name, "k" * 20)


def profile(model: str) -> WorkerProfile:
    return WorkerProfile.parse({"name": "agent", "model": model, "api_key": "key"})


@pytest.mark.parametrize(
    ("model", "absent", "extra"),
    [
        ("openai:gpt-5", "pydantic_ai", "openai"),
        ("openai:gpt-5", "openai", "openai"),
        ("anthropic:claude-sonnet-4-5", "anthropic", "anthropic"),
        ("google:gemini-2.5-pro", "google.genai", "google"),
        ("mistral:mistral-large-latest", "mistralai", "mistral"),
        ("groq:llama-3.3-70b-versatile", "groq", "groq"),
        ("deepseek:deepseek-chat", "openai", "openai"),
    ],
)
def test_a_missing_library_names_the_extra(model, absent, extra, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("pydantic_ai", absent))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "yoi.workers.pydantic_engine", raising=False)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(WorkerError) as caught:
        make_engine(profile(model), Secrets())
    assert caught.value.code == "worker.extra"
    assert (caught.value.hint or "").splitlines() == [
        f"pip install 'yoi[{extra}]'",
        f"pipx inject yoi 'pydantic-ai-slim[{extra}]'",
        f"uv pip install --python \"$(uv tool dir)/yoi/bin/python\" 'yoi[{extra}]'",
    ]


def test_every_extra_that_is_named_exists():
    told = set(importlib.metadata.metadata("yoi").get_all("Provides-Extra") or ())
    assert {extra_of(one) for one in ("openai", "anthropic", "google", "groq", "mistral")} <= told


def test_a_host_loads_no_provider_before_a_worker_needs_one():
    code = (
        "import json, sys, yoi.host, yoi.cli.serve, yoi.workers.engines, yoi.workers.worker_set; "
        "print(json.dumps(sorted({'pydantic', 'pydantic_ai', 'openai', 'anthropic', 'httpx'} "
        "& set(sys.modules))))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []
