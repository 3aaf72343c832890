"""Wire rules of providers, each with the page or trial it comes from; a broken one is `Refused`.

`openai`, `anthropic` and `google` check a whole request body. `StrictServer` is an HTTP server
that answers as its replies say where the request keeps the rules, and 400 where it does not.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.workers.wire import Reply, Server

from yoi.workers import items as it
from yoi.workers.context import AssistantParts, ModelInput, ToolOutputs, UserText

Body = Mapping[str, Any]


class Refused(Exception):
    """A provider's 400: which rule, by its short name."""

    def __init__(self, rule: str, seen: object = "") -> None:
        super().__init__(f"{rule}: {seen!r}")
        self.rule = rule


def need(rule: str, ok: bool, seen: object = "") -> None:
    if not ok:
        raise Refused(rule, seen)


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


# OpenAI's chat completions, as the strictest of the servers that speak it take them.

OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""platform.openai.com/docs/api-reference/chat/create: tools[].function.name."""
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
"""docs.mistral.ai: "Tool call id ... must be a-z, A-Z, 0-9, with a length of 9"."""


def openai(body: Body, *, most_bytes: int = 2**20, window: int = 10**9) -> None:
    """Raise Refused unless every server that speaks this interface takes `body`."""
    messages = list(body["messages"])
    if messages and messages[0]["role"] == "system":
        messages = messages[1:]
    # Chat templates of Llama, Gemma and Mistral; trial W4.
    need("first_user", bool(messages) and messages[0]["role"] == "user")
    for before, after in pairwise(messages):
        pair = before["role"], after["role"]
        need("alternate", pair not in (("user", "user"), ("assistant", "assistant")), pair)
        # Mistral: "Unexpected role 'user' after role 'tool'".
        need("user_after_tool", pair != ("tool", "user"))
        # "messages with role 'tool' must be a response to a preceding message with 'tool_calls'".
        need(
            "tool_without_call", after["role"] != "tool" or before["role"] in ("assistant", "tool")
        )
    # Mistral: "Expected last role User or Tool (or Assistant with prefix True)".
    need("last_role", messages[-1]["role"] in ("user", "tool"))
    open_calls: list[str] = []
    seen: set[str] = set()
    called = False
    for message in messages:
        role, content = message["role"], message.get("content")
        calls = message.get("tool_calls") or []
        if role == "tool":
            # An assistant message with 'tool_calls' must be followed by tool messages
            # responding to each 'tool_call_id' (the API's own 400).
            need("tool_without_call", message["tool_call_id"] in open_calls, message)
            open_calls.remove(message["tool_call_id"])
            need("empty_content", bool(content and content.strip()))
            continue
        need("call_without_result", not open_calls, open_calls)
        # Several gateways (Anthropic's and Bedrock's behind them): text must be non-empty.
        need("empty_content", bool(content and content.strip()) or bool(calls), message)
        for call in calls:
            called = True
            need("id_form", MISTRAL_ID.fullmatch(call["id"]) is not None, call["id"])
            need("id_twice", call["id"] not in seen, call["id"])
            seen.add(call["id"])
            open_calls.append(call["id"])
            name = call["function"]["name"]
            need("name_form", OPENAI_NAME.fullmatch(name) is not None, name)
            # Templates of local servers (vLLM, llama.cpp) parse them.
            need("arguments", is_object(call["function"]["arguments"]), call)
    need("call_without_result", not open_calls, open_calls)
    tools = body.get("tools") or []
    # Bedrock: "toolConfig field must be defined when using toolUse"; LiteLLM; trial W3.
    need("tools_declared", bool(tools) or not called)
    need("tools_many", len(tools) <= 128, len(tools))
    names = [tool["function"]["name"] for tool in tools]
    need("name_form", all(OPENAI_NAME.fullmatch(name) for name in names), names)
    need("name_twice", len(set(names)) == len(names), names)
    # "'tool_choice' is only allowed when 'tools' are specified" (the API's own 400).
    need("choice_without_tools", bool(tools) or body.get("tool_choice") is None)
    size = len(json.dumps(body).encode())
    need("size", size <= most_bytes, size)
    need("context_length_exceeded", size // 4 <= window, size)


# Anthropic's messages: docs.claude.com/en/api/messages and .../tool-use.

ANTHROPIC_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")


def anthropic(body: Body) -> None:
    """Raise Refused where Anthropic's published rules do not take `body`."""
    messages = body["messages"]
    need("first_user", bool(messages) and messages[0]["role"] == "user")
    # Models since 4.6 take no prefilled answer: the last turn is the user's.
    need("last_role", messages[-1]["role"] == "user")
    waiting: list[str] = []
    seen: set[str] = set()
    called = False
    for index, message in enumerate(messages):
        blocks = message["content"]
        need("empty_content", bool(blocks))
        need("alternate", not index or messages[index - 1]["role"] != message["role"])
        for block in blocks:
            if block["type"] == "text":
                # "messages: text content blocks must contain non-whitespace text".
                need("empty_content", bool(block["text"].strip()))
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        # "`tool_use` ids were found without `tool_result` blocks immediately after".
        need("call_without_result", set(waiting) <= set(results), waiting)
        need("tool_without_call", set(results) <= set(waiting), results)
        kinds = [b["type"] for b in blocks if b["type"] in ("tool_result", "text")]
        # In the content of the user's turn the results come first.
        need("results_first", not results or "tool_result" not in kinds[len(results) :])
        uses = [b for b in blocks if b["type"] == "tool_use"]
        need("use_by_assistant", not uses or message["role"] == "assistant")
        for use in uses:
            called = True
            need("id_form", ANTHROPIC_ID.fullmatch(use["id"]) is not None, use["id"])
            need("id_twice", use["id"] not in seen)
            seen.add(use["id"])
            need("name_form", ANTHROPIC_NAME.fullmatch(use["name"]) is not None, use["name"])
            need("arguments", isinstance(use["input"], dict))
        waiting = [use["id"] for use in uses]
    need("call_without_result", not waiting)
    need("tools_declared", bool(body.get("tools")) or not called)
    need("name_form", all(ANTHROPIC_NAME.fullmatch(tool["name"]) for tool in body.get("tools", ())))


# Google's generateContent: ai.google.dev/api/caching (Content, Part, FunctionDeclaration).

GOOGLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")


def google(body: Body) -> None:
    """Raise Refused where Google's published rules do not take `body`."""
    contents = body["contents"]
    need("first_user", bool(contents) and contents[0]["role"] == "user")
    need("last_role", contents[-1]["role"] == "user")
    expected: list[str] = []
    called = False
    for index, content in enumerate(contents):
        parts = content["parts"]
        need("empty_content", bool(parts))
        for part in parts:
            # "Unable to submit request because it must have a text parameter" / empty text.
            need("empty_content", "text" not in part or bool(part["text"].strip()))
        answers = [p["functionResponse"]["name"] for p in parts if "functionResponse" in p]
        # "the number of function response parts is equal to the number of function call parts of
        # the function call turn".
        need("call_without_result", len(answers) >= len(expected), expected)
        need("tool_without_call", answers == expected, answers)
        calls = [p["functionCall"] for p in parts if "functionCall" in p]
        if calls:
            called = True
            # "function call turn comes immediately after a user turn or after a function
            # response turn".
            need("call_turn", index > 0 and contents[index - 1]["role"] == "user")
            need("use_by_assistant", content["role"] == "model")
        for call in calls:
            need("name_form", GOOGLE_NAME.fullmatch(call["name"]) is not None, call["name"])
            need("arguments", isinstance(call["args"], dict))
        expected = [call["name"] for call in calls]
    need("call_without_result", not expected)
    need("tools_declared", bool(body.get("tools")) or not called)
    need("name_form", all(GOOGLE_NAME.fullmatch(tool["name"]) for tool in body.get("tools", ())))


# The plainest rendering of a request in each form, so that rules can be tried without a network.


def to_openai(request: ModelInput) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.instructions or "-"}]
    for message in request.messages:
        if isinstance(message, UserText):
            messages.append({"role": "user", "content": message.text})
        elif isinstance(message, ToolOutputs):
            messages += [
                {"role": "tool", "tool_call_id": one.call_id, "content": one.output}
                for one in message.outputs
            ]
        else:
            calls = [
                {
                    "id": part.id,
                    "type": "function",
                    "function": {"name": part.name, "arguments": part.arguments},
                }
                for part in message.parts
                if isinstance(part, it.Call)
            ]
            words = "".join(p.text for p in message.parts if isinstance(p, it.Text))
            said: dict[str, Any] = {"role": "assistant", "content": words or None}
            messages.append({**said, "tool_calls": calls} if calls else said)
    body: dict[str, Any] = {"messages": messages}
    if request.tools:
        body["tools"] = [{"type": "function", "function": {"name": t.name}} for t in request.tools]
    return body


def to_anthropic(request: ModelInput) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for message in request.messages:
        if isinstance(message, UserText):
            blocks: list[dict[str, Any]] = [{"type": "text", "text": message.text}]
        elif isinstance(message, ToolOutputs):
            blocks = [
                {"type": "tool_result", "tool_use_id": one.call_id, "content": one.output}
                for one in message.outputs
            ]
        else:
            blocks = [_anthropic_part(p) for p in message.parts if not isinstance(p, it.Thinking)]
        role = "assistant" if isinstance(message, AssistantParts) else "user"
        messages.append({"role": role, "content": blocks})
    return {"messages": messages, "tools": [{"name": tool.name} for tool in request.tools]}


def _anthropic_part(part: it.Part) -> dict[str, Any]:
    if isinstance(part, it.Call):
        arguments = json.loads(part.arguments)
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
    return {"type": "text", "text": part.text}


def to_google(request: ModelInput) -> dict[str, Any]:
    contents: list[dict[str, Any]] = []
    for message in request.messages:
        if isinstance(message, UserText):
            parts: list[dict[str, Any]] = [{"text": message.text}]
        elif isinstance(message, ToolOutputs):
            parts = [
                {"functionResponse": {"name": one.name, "response": {"output": one.output}}}
                for one in message.outputs
            ]
        else:
            parts = [_google_part(p) for p in message.parts if not isinstance(p, it.Thinking)]
        role = "model" if isinstance(message, AssistantParts) else "user"
        contents.append({"role": role, "parts": parts})
    return {"contents": contents, "tools": [{"name": tool.name} for tool in request.tools]}


def _google_part(part: it.Part) -> dict[str, Any]:
    if isinstance(part, it.Call):
        return {"functionCall": {"name": part.name, "args": json.loads(part.arguments)}}
    return {"text": part.text}


class StrictServer(Server):
    """Answers what `answer` returns for a body that keeps the rules, and else 400 with the rule.

    `refused` lists the rules that requests broke; `window` is in tokens of four bytes; `rules` are
    those of another provider.
    """

    def __init__(
        self,
        answer: Callable[[Body], Reply] | Sequence[Reply],
        window: int = 10**9,
        rules: Callable[[Body], None] | None = None,
    ) -> None:
        super().__init__()
        self._rules = rules or (lambda body: openai(body, window=self.window))
        self.refused: list[str] = []
        self.window = window
        self._left = [] if callable(answer) else list(answer)
        self._by = answer if callable(answer) else lambda _: self._left.pop(0)

    def _next(self) -> Reply:
        body = self.requests[-1][1]
        try:
            self._rules(body)
        except Refused as exc:
            self.refused.append(exc.rule)
            error = {"message": str(exc), "type": "invalid_request_error", "code": exc.rule}
            return Reply(status=400, body=json.dumps({"error": error}))
        return self._by(body)
