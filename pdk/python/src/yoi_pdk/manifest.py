"""The plugin.toml beside a plugin, as `yoi_pdk.testing` judges by it. Never used in the sandbox.

It refuses what the host would refuse because no line of the manifest asks for it. What the operator
grants is another matter; the manifest's own faults are `yoi plugin check`'s.
"""

import inspect
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from yoi_pdk.commands import Command, Send
from yoi_pdk.host import HostError
from yoi_pdk.host_command import HostCommand
from yoi_pdk.insertions import Insertion
from yoi_pdk.notify import Notify
from yoi_pdk.requests import Request
from yoi_pdk.sessions import Open

_DEFAULT_MESSAGE_BYTES = 1024 * 1024
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class ManifestRules:
    """What a plugin.toml asks for. Raises HostError for what it does not."""

    def __init__(self, table: dict[str, Any]) -> None:
        ingresses = _rows(table, "ingresses")
        self._connections = {str(one.get("name")): one for one in _rows(table, "connections")}
        for ingress in ingresses:
            for number, source in enumerate(ingress.get("sources", ()), 1):
                if "ws://" in str(source) or "wss://" in str(source):
                    name = str(ingress.get("name"))
                    self._connections.setdefault(name if number == 1 else f"{name}-{number}", {})
        self._targets = {str(one["name"]): one for one in _rows(table, "request") if "name" in one}
        self._secrets = _rows(table, "secrets")
        self._tools = {str(one.get("name")): one for one in _rows(table, "tools")}
        self._workers = {
            str(one.get("name"))
            for one in _rows(table, "permissions")
            if one.get("kind") == "notify"
        }
        self._config = table.get("config_schema")
        self.connection = next(iter(self._connections), "gateway")
        """The connection that an event is about unless a test says otherwise."""
        ingress = str(ingresses[0].get("name")) if ingresses else "events"
        self.ingress = str(self._connections.get(self.connection, {}).get("ingress", ingress))
        """The ingress of that connection."""

    @classmethod
    def beside(cls, plugin: type) -> "ManifestRules | None":
        """Return the rules of the plugin.toml in the folder of `plugin`'s module, or None."""
        # Not `inspect.getfile`: another plugin's module of the same name may have taken its place.
        files = [
            value.__code__.co_filename
            for value in vars(plugin).values()
            if inspect.isfunction(value)
        ]
        path = Path(files[0]).parent / "plugin.toml" if files else None
        return cls.read(path) if path is not None and path.is_file() else None

    @classmethod
    def read(cls, path: Path) -> "ManifestRules":
        """Return the rules of the plugin.toml at `path`; raises ValueError where it is no TOML."""
        return cls(tomllib.loads(path.read_text(encoding="utf-8")))

    def config(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return `values` with the schema's defaults; raises ValueError as the host refuses it."""
        if not isinstance(self._config, dict):
            return values
        filled = _filled(self._config, values)
        for fault in _faults(self._config, filled, "config"):
            raise ValueError(f"{fault} [config.value]")
        return dict(filled)

    def tool(self, name: str, input: dict[str, Any]) -> None:
        """Raise HostError or ValueError where the host would not make this call."""
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            raise HostError(
                "service.unknown",
                f"plugin.toml declares no tool {name!r} (declared: {known})",
                "yoi plugin check --fix declares what @tool marks",
            )
        for fault in _faults(tool.get("input_schema") or {"type": "object"}, input, "input"):
            raise ValueError(f"{fault} [service.tool_input]")

    def command(self, command: Command) -> None:
        """Raise HostError where the manifest does not ask for what `command` needs."""
        if isinstance(command, Request):
            self._request(command)
        elif isinstance(command, Notify):
            self._known(command.worker, self._workers, "Notify", 'a permission of kind "notify"')
        elif isinstance(command, Send):
            name = command.connection
            if name is not None:
                self._known(name, self._connections, "Send", "[[connections]]")
            self._size(command)
            self._insertions(command.insert, "connection", name)
            self._signing(command.sign, "connection", name)
        elif isinstance(command, HostCommand) and "connection" in command.fields():
            self._session(command)

    def _session(self, command: Any) -> None:
        name = command.connection
        self._known(name, self._connections, type(command).__name__, "[[connections]]")
        if isinstance(command, Open):
            given = command.url or command.handle or self._connections[name].get("url")
            if not given:
                raise _denied(f"Open needs a url: {name} has none in plugin.toml", None)
        self._insertions(getattr(command, "insert", ()), "connection", name)
        self._signing(getattr(command, "sign", None), "connection", name)

    def _request(self, command: Request) -> None:
        self._known(command.target, self._targets, "Request", "named [[request]]")
        target = self._targets[command.target]
        methods = target.get("methods", [])
        if command.method not in methods:
            raise _denied(
                f"[[request]] {command.target} names the methods {', '.join(methods)}, "
                f"not {command.method}",
                f'methods = ["{command.method}"]',
            )
        prefixes = target.get("path_prefixes")
        path = (command.path or "").partition("?")[0]
        if prefixes and not any(_under(path, prefix) for prefix in prefixes):
            raise _denied(
                f"[[request]] {command.target} does not hold the path {path}",
                f'path_prefixes = ["{path}"]',
            )
        self._insertions(command.insert, "request", command.target)
        self._signing(command.sign, "request", command.target)
        captures = {str(one.get("name")) for one in target.get("captures", ())}
        for name in command.capture:
            self._known(name, captures, "Request", f"captures of {command.target}")

    def _insertions(self, found: Iterable[Insertion], goal: str, name: str | None) -> None:
        for one in found:
            if one.kind != "secret":
                continue
            uses = [use for use in self._secrets if use.get("name") == one.name]
            if not any(
                one.at in map(_place_at, use.get("at", ()))
                and (name is None or use.get(goal) == name)
                for use in uses
                if "sign" not in use
            ):
                raise _denied(
                    f'no [[secrets]] entry puts "{one.name}" at {one.at} of {name or "this"}',
                    f'[[secrets]] name = "{one.name}", {goal} = "{name}", at = ["{one.at}"]',
                    code="denied.secret_place",
                )

    def _signing(self, key: str | None, goal: str, name: str | None) -> None:
        if key is None or any(
            use.get("name") == key and "sign" in use and name in (None, use.get(goal))
            for use in self._secrets
        ):
            return
        raise _denied(
            f'no [[secrets]] entry named "{key}" signs for {name or "this"}',
            f'[[secrets]] name = "{key}", {goal} = "{name}", with [secrets.sign]',
        )

    def _size(self, command: Send) -> None:
        row = self._connections.get(command.connection or self.connection, {})
        target = row.get("target")
        bound = (
            target.get("max_message_bytes", _DEFAULT_MESSAGE_BYTES)
            if isinstance(target, dict)
            else _DEFAULT_MESSAGE_BYTES
        )
        if command.data is not None:
            size = len(command.data)
        elif command.text is not None:
            size = len(command.text.encode())
        else:
            parts = command.parts or [json.dumps(command.json)]
            written = (part if isinstance(part, str) else json.dumps(part) for part in parts)
            size = sum(len(one.encode()) for one in written)
        if size > bound:
            raise HostError(
                "connection.too_big",
                f"the message has {size} bytes; its target allows {bound}",
                f"max_message_bytes = {size}",
            )

    def _known(self, name: str, known: Any, command: str, where: str) -> None:
        if name not in known:
            said = ", ".join(sorted(known)) or "none"
            raise _denied(
                f"{command} names {name!r}, which is not among {where} of plugin.toml ({said})",
                f"declare it under {where}",
            )


def _place_at(place: Any) -> Any:
    return place.get("at") if isinstance(place, dict) else place


def _denied(message: str, hint: str | None, *, code: str = "denied.not_requested") -> HostError:
    return HostError(code, message, hint)


def _rows(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = table.get(key, [])
    return [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []


def _under(path: str, prefix: str) -> bool:
    """Return whether `path` is `prefix` or lies under it, by whole segments."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _filled(schema: dict[str, Any], value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for name, child in schema.get("properties", {}).items():
        if name in made:
            made[name] = _filled(child, made[name])
        elif "default" in child:
            made[name] = child["default"]
    return made


def _faults(schema: dict[str, Any], value: Any, at: str) -> list[str]:
    """Return how `value` breaks the manifest's subset of JSON Schema."""
    kind = str(schema.get("type", "object"))
    wanted = _TYPES.get(kind, (object,))
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        return [f"{at} must be of type {kind}"]
    enum = schema.get("enum")
    if isinstance(enum, list) and not any(
        type(one) is type(value) and one == value for one in enum
    ):
        return [f"{at} must be one of {', '.join(map(repr, enum[:8]))}"]
    found: list[str] = []
    size = len(value) if isinstance(value, str) else value
    for low, high in (("minLength", "maxLength"), ("minimum", "maximum")):
        if isinstance(schema.get(low), (int, float)) and size < schema[low]:
            found.append(f"{at} must be at least {schema[low]}")
        if isinstance(schema.get(high), (int, float)) and size > schema[high]:
            found.append(f"{at} must be at most {schema[high]}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, one in enumerate(value):
            found += _faults(schema["items"], one, f"{at}[{index}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [
            f"{at}.{name} is required" for name in schema.get("required", ()) if name not in value
        ]
        for name, one in value.items():
            child = properties.get(name, schema.get("additionalProperties", True))
            if child is False:
                known = ", ".join(properties)
                found.append(f"{at}.{name} is not a known name (known: {known})")
            elif isinstance(child, dict):
                found += _faults(child, one, f"{at}.{name}")
    return found
