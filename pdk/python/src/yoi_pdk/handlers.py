"""Handlers: which method of a plugin hears what. Used by the runner and by `yoi_pdk.testing`."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from yoi_pdk.match import Match

if TYPE_CHECKING:
    from yoi_pdk.context import Context
    from yoi_pdk.events import Event, TextEvent
    from yoi_pdk.plugin import Plugin
    from yoi_pdk.tools import ToolCall

F = TypeVar("F", bound=Callable[..., Any])
_ROUTES = "__yoi_routes__"
_TOOL = "__yoi_tool__"

BY_KIND = {
    "websocket_text": "on_text",
    "websocket_open": "on_open",
    "websocket_close": "on_close",
    "websocket_gap": "on_gap",
    "websocket_binary": "on_binary",
    "websocket_error": "on_error",
    "websocket_send_failed": "on_send_failed",
    "command_denied": "on_denied",
    "service_started": "on_started",
    "timer": "on_timer",
    "response": "on_response",
}
"""The handler of each kind of event; a kind that is not here goes to `on_event`."""


def on(
    at: str,
    *equals: Any,
    one_of: "list[Any] | tuple[Any, ...] | None" = None,
    prefix: str | None = None,
) -> Callable[[F], F]:
    """Route text messages to the method below: `@on("/type", "message")`.

    The method is called as `on_text` would be. Routes are tried in the order in which the class
    defines them; what fits none goes to `on_text`. For `at`, `one_of` and `prefix` see `Match`. A
    method may have several `@on`.
    """
    if len(equals) > 1:
        raise TypeError('on takes one value: @on("/type", "message"); for several, one_of=[...]')
    match = Match(at, *equals, one_of=one_of, prefix=prefix)

    def mark(method: F) -> F:
        setattr(method, _ROUTES, (match, *getattr(method, _ROUTES, ())))
        return method

    return mark


def tool(method: Any = None, /, *, name: str | None = None, external_write: bool = False) -> Any:
    """Offer the method below as a tool: its arguments are the tool's input.

        @tool
        def word_count(self, text: str, lines: bool = False) -> ToolResult:
            "Count words."

    `yoi plugin check --fix` writes its entry in plugin.toml: the name, the docstring's first
    paragraph as description, the schema from the annotations. `name` is another name than the
    method's; `external_write=True` says that a call changes something outside. A parameter called
    `ctx` receives the context, one annotated with `ToolCall` the call with its id.
    """

    def mark(method: F) -> F:
        setattr(method, _TOOL, (name or method.__name__, external_write))
        return method

    return mark if method is None else mark(method)


class Handlers:
    """The handlers of one plugin object, found once."""

    __slots__ = ("_by_kind", "_event", "_plugin", "_routes", "_tools", "on_text")

    def __init__(self, plugin: "Plugin") -> None:
        self._plugin = plugin
        self._event = plugin.on_event
        self._by_kind = {
            kind: getattr(plugin, name)
            for kind, name in BY_KIND.items()
            if kind != "websocket_text"
        }
        self._routes: list[tuple[Match, Callable[..., Any]]] = []
        self._tools: dict[str, tuple[Callable[..., Any], bool, str | None]] = {}
        for method in _methods(plugin):
            self._routes += [(match, method) for match in getattr(method, _ROUTES, ())]
            if (marked := getattr(method, _TOOL, None)) is not None:
                if marked[0] in self._tools:
                    raise TypeError(f"two methods are the tool {marked[0]!r}")
                parameters = inspect.signature(method).parameters
                self._tools[marked[0]] = (method, "ctx" in parameters, _call_of(parameters))
        # Without routes the plugin's own method is called directly: most messages go this way.
        self.on_text = self._routed if self._routes else plugin.on_text
        """Handle one text message."""

    def on_event(self, event: "Event", ctx: "Context") -> Any:
        """Handle any other event."""
        return self._by_kind.get(event.kind, self._event)(event, ctx)

    def on_tool(self, call: "ToolCall", ctx: "Context") -> Any:
        """Answer one tool call."""
        found = self._tools.get(call.name)
        if found is None:
            return self._plugin.on_tool(call, ctx)
        method, takes_ctx, call_name = found
        beside: dict[str, Any] = {"ctx": ctx} if takes_ctx else {}
        if call_name is not None:
            beside[call_name] = call
        return method(**call.input, **beside)

    def tool_name(self, name: str) -> str:
        """Return the name of the method that answers the tool `name`, for messages."""
        found = self._tools.get(name)
        return "on_tool" if found is None else found[0].__name__

    def name_of(self, kind: str) -> str:
        """Return the name of the handler of this kind, for messages."""
        return BY_KIND.get(kind, "on_event")

    def _routed(self, event: "TextEvent", ctx: "Context") -> Any:
        document = event.document()
        text = event.text
        for match, method in self._routes:
            if match.holds(text, document):
                return method(event, ctx)
        return self._plugin.on_text(event, ctx)


def _call_of(parameters: "Mapping[str, inspect.Parameter]") -> str | None:
    """Return the name of the parameter that receives the call."""
    for name, parameter in parameters.items():
        annotation = parameter.annotation
        word = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if word.rpartition(".")[2] == "ToolCall":
            return name
    return None


def _methods(plugin: "Plugin") -> "Iterator[Callable[..., Any]]":
    """Yield the plugin's own methods, those of base classes first, each name once."""
    names: dict[str, None] = {}
    for cls in reversed(type(plugin).__mro__):
        for name, value in vars(cls).items():
            if inspect.isfunction(value):
                names.setdefault(name)
    for name in names:
        value = getattr(plugin, name, None)
        if inspect.ismethod(value):
            yield value


def finished(answer: Any, handler: str) -> Any:
    """Return what `answer` is, or what it returns when it is the coroutine of an `async def`.

    A coroutine runs to its end here: a handler has no loop, so nothing that it awaits may wait.
    Raises TypeError naming the command to return instead.
    """
    if inspect.isasyncgen(answer):
        raise TypeError(f"{handler} is an async generator: return a list of commands")
    if not inspect.iscoroutine(answer):
        return answer
    try:
        answer.send(None)
    except StopIteration as end:
        return end.value
    except RuntimeError as exc:
        if "no running event loop" in str(exc):
            raise _cannot_wait(handler) from exc
        raise
    answer.close()
    raise _cannot_wait(handler)


def _cannot_wait(handler: str) -> TypeError:
    return TypeError(
        f"{handler} awaits something that needs time: a handler runs to its end at once. "
        "For an HTTP answer return Request(...) and handle on_response; "
        "for later return TimerSet(...) and handle on_timer"
    )
