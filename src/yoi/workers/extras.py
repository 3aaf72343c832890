"""Which extra of the distribution `yoi` holds a provider's library, and what to say without it."""

import importlib.util

from yoi.errors import WorkerError

_OWN = {
    "anthropic": "anthropic",
    "google": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "groq": "groq",
    "mistral": "mistral",
}
"""Providers with a library of their own. The others that Yoi reaches speak OpenAI's protocol."""
_USUAL = "openai"
_LIBRARIES = ("pydantic_ai", "openai")
"""What the usual extra brings."""


def extra_of(provider: str) -> str:
    """Return the extra to install for models of `provider`."""
    return _OWN.get(provider, _USUAL)


def not_installed(model: str, provider: str, why: str) -> WorkerError:
    """Return the error for a model whose provider's library is absent, as the import says `why`.

    `worker.extra` where one of Yoi's extras holds it, else `worker.profile`.
    """
    if provider not in _OWN and all(map(_is_installed, _LIBRARIES)):
        return WorkerError("worker.profile", f"model {model}: {why}")
    extra = extra_of(provider)
    return WorkerError(
        "worker.extra",
        f"model {model} needs a library that is not installed: the extra {extra}",
        hint=(
            f"pip install 'yoi[{extra}]'\n"
            f"pipx inject yoi 'pydantic-ai-slim[{extra}]'\n"
            f"uv pip install --python \"$(uv tool dir)/yoi/bin/python\" 'yoi[{extra}]'"
        ),
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # half loaded, or stood in for
        return False
