"""Makes the engine that a profile names; its key comes from the secret source only."""

import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from yoi.core.redaction import MASK, Masker
from yoi.errors import WorkerError
from yoi.limits import LIMITS, Limits
from yoi.types import Secret, SecretSource
from yoi.workers.context import ModelInput, ToolOutputs, UserText
from yoi.workers.engine import Engine
from yoi.workers.extras import not_installed
from yoi.workers.fallback import FallbackEngine
from yoi.workers.profile import SCRIPTED, ModelChoice, ScriptRule, WorkerProfile
from yoi.workers.scripted import CallTool, Line, Say, ScriptedEngine

COMPATIBLE = "openai-compatible"
"""The provider name for any server that speaks OpenAI's chat completions: needs `base_url`."""
_OPENAI_URL = "https://api.openai.com/v1"


def make_engine(
    profile: WorkerProfile,
    secrets: SecretSource,
    limits: Limits = LIMITS,
    monotonic: Callable[[], float] = time.monotonic,
) -> Engine:
    """Return the engine of `profile`, its fallbacks behind it.

    Raises WorkerError: `worker.secret` when its key is not there, `worker.profile` when the model
    can not be built from what the profile says.
    """
    if profile.model.model == SCRIPTED:
        return ScriptedEngine(RuleScript(profile.script))
    engines = [
        _pydantic_engine(choice, _key(choice, secrets), limits)
        for choice in (profile.model, *profile.fallbacks)
    ]
    return FallbackEngine(engines, monotonic) if profile.fallbacks else engines[0]


def _key(choice: ModelChoice, secrets: SecretSource) -> Secret | None:
    if choice.api_key is None:
        return None
    secret = secrets.secret(choice.api_key)
    if secret is None:
        raise WorkerError(
            "worker.secret",
            f"there is no secret called {choice.api_key!r}, which model {choice.model} needs",
        )
    return secret


def _pydantic_engine(choice: ModelChoice, key: Secret | None, limits: Limits) -> Engine:
    provider_name, _, model_name = choice.model.partition(":")
    # Imported here: most hosts run no worker, the library takes a second to load, and it is an
    # extra, as each provider's own is.
    try:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import Model, infer_model
        from pydantic_ai.providers import Provider, infer_provider_class
        from pydantic_ai.settings import ModelSettings

        from yoi.workers.pydantic_engine import PydanticEngine
    except ImportError as exc:
        raise not_installed(choice.model, provider_name, str(exc)) from None

    def provider(name: str) -> Provider[Any]:
        made: Any = infer_provider_class(name)
        known = inspect.signature(made).parameters
        if "api_key" not in known or key is None:
            raise WorkerError(
                "worker.profile",
                f"model {choice.model} needs api_key = the name of a secret"
                if "api_key" in known
                else f"provider {name} is not reached with an API key, which is all Yoi offers",
            )
        # Explicit, so that nothing in the environment can lead the key elsewhere.
        url = choice.base_url or (_OPENAI_URL if name.startswith("openai") else None)
        if url is not None and "base_url" not in known:
            raise WorkerError("worker.profile", f"provider {name} has no base_url")
        place = {} if url is None else {"base_url": url}
        built: Provider[Any] = made(api_key=key.reveal(), **place)
        return built

    model: Model
    try:
        if provider_name == COMPATIBLE:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.profiles.openai import OpenAIModelProfile
            from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

            if choice.base_url is None:
                raise WorkerError("worker.profile", f"{COMPATIBLE} needs base_url")
            model = OpenAIChatModel(
                model_name,
                provider=OpenAICompatibleProvider(
                    COMPATIBLE,
                    base_url=choice.base_url,
                    api_key="none" if key is None else key.reveal(),
                ),
                # An answer whose stream stops without a reason is broken, not short.
                profile=OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True),
            )
        else:
            model = infer_model(choice.model, provider)
    except ImportError as exc:
        raise not_installed(choice.model, provider_name, str(exc)) from None
    except (UserError, ValueError) as exc:
        raise WorkerError("worker.profile", f"model {choice.model}: {exc}") from None
    settings = ModelSettings(timeout=limits.llm_call_ms / 1000, max_retries=0)
    if choice.max_output_tokens is not None:
        settings["max_tokens"] = choice.max_output_tokens
    if choice.thinking is not None:
        settings["thinking"] = False if choice.thinking == "off" else choice.thinking

    masker = Masker(() if key is None else [key])

    def redact(text: str) -> str:
        text = masker.text(text)
        # A key too short for `Masker` too: in an error, masking an ordinary word does no harm.
        return text if key is None else text.replace(key.reveal(), MASK)

    return PydanticEngine(choice.model, model, settings, redact, masker)


class RuleScript:
    """The script that a profile's rules make: the first rule whose `when` fits what came last.

    After a tool's result the rules are not asked again: the run ends with `done`.
    """

    def __init__(self, rules: Sequence[ScriptRule]) -> None:
        self._rules = rules

    def __call__(self, request: ModelInput) -> Sequence[Line]:
        """Return the lines of the answer to `request`."""
        last = request.messages[-1]
        if isinstance(last, ToolOutputs):
            return [Say("done")]
        heard = last.text if isinstance(last, UserText) else ""
        for rule in self._rules:
            if rule.when in heard:
                said: list[Line] = [Say(rule.say)] if rule.say else []
                if rule.call:
                    arguments = msgspec.json.encode(rule.arguments).decode()
                    said.append(CallTool(rule.call, arguments))
                return said
        return [Say("nothing in my script fits")]
