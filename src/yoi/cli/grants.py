"""What an operator hands in as files or words: grants, and values for a plugin's configuration."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yoi.errors import ConfigError, EnablementError, PackageError, UsageError, YoiError
from yoi.limits import LIMITS
from yoi.packages.package import read_file
from yoi.permissions import PermissionSet, is_safe_id

_LISTS = ("permissions", "websocket", "request", "secrets")
_GRANT_KEYS = (*_LISTS, "memory_bytes")


def read_grant(path: Path) -> PermissionSet:
    """Return the grant in a TOML file: permissions, targets, secrets and `memory_bytes`.

    They are written as in plugin.toml, secrets with `secret`, the name in the store. Raises
    EnablementError for anything else in it.
    """
    try:
        table = tomllib.loads(read_file(path, LIMITS.manifest_bytes).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        raise EnablementError("enablement.toml", f"{path} is not TOML: {exc}") from None
    except PackageError as exc:
        raise EnablementError("enablement.malformed", exc.message) from None
    for key in table:
        if key not in _GRANT_KEYS:
            raise EnablementError(
                "enablement.malformed",
                f"{path}: {key!r} is not part of a grant",
                hint="a grant has permissions = [...], memory_bytes = N, [[websocket]], [[request]]"
                " and [[secrets]]",
                at=key,
            )
    try:
        grant = PermissionSet.parse(**{"permissions": [], **table})
    except YoiError as exc:
        raise EnablementError(
            "enablement.malformed", f"{path}: {exc.message}", at=exc.fields.get("at", "")
        ) from None
    for index, use in enumerate(grant.secrets):
        if use.secret is None:
            raise EnablementError(
                "enablement.malformed",
                f"{path}: secrets[{index}] does not say which secret of the store {use.name} is",
                hint='add secret = "NAME", as yoi secret list shows it',
                at=f"secrets[{index}].secret",
            )
    return grant


def read_secrets(
    pairs: Sequence[str], requested: PermissionSet, before: PermissionSet
) -> dict[str, str]:
    """Return the store's name for each of the plugin's names: as granted before, then `pairs`.

    `pairs` are NAME=STORE_NAME. Raises UsageError for a pair that is not, or that the plugin does
    not ask for.
    """
    asked = {use.name for use in requested.secrets}
    chosen = {use.name: use.secret for use in before.secrets if use.secret and use.name in asked}
    for pair in pairs:
        name, equals, stored = pair.partition("=")
        if not equals or not is_safe_id(stored):
            raise UsageError(
                "usage.arguments",
                f"--secret {pair} is not NAME=STORE_NAME",
                hint="--secret app=my-token; see what is stored with: yoi secret list",
            )
        if name not in asked:
            names = ", ".join(sorted(asked)) or "none"
            raise UsageError(
                "usage.arguments", f"the plugin asks for no secret {name!r}; it asks for: {names}"
            )
        chosen[name] = stored
    return chosen


def read_config(
    pairs: Sequence[str], file: Path | None, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the values of `file`, then those of `KEY=VALUE` pairs.

    A value is JSON where it parses as JSON and the schema does not say the key is text; it is text
    otherwise. Raises UsageError for a pair without `=`, ConfigError for a file that cannot be read.
    """
    values = {} if file is None else _config_file(file)
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(
                "usage.arguments", f"--config {pair} is not KEY=VALUE", hint="--config channel=main"
            )
        values[key] = _value(text, _declared_type(schema, key))
    return values


def _declared_type(schema: Mapping[str, Any] | None, key: str) -> Any:
    declared = (schema or {}).get("properties", {}).get(key, {})
    return declared.get("type") if isinstance(declared, Mapping) else None


def _value(text: str, declared: Any) -> Any:
    if declared == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _config_file(path: Path) -> dict[str, Any]:
    try:
        text = read_file(path, LIMITS.config_bytes).decode()
        value = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except PackageError as exc:
        raise ConfigError("config.value", exc.message) from None
    except (ValueError, RecursionError) as exc:
        raise ConfigError("config.value", f"{path} cannot be read: {exc}") from None
    if not isinstance(value, dict):
        raise ConfigError("config.value", f"{path} does not hold a table of values")
    return value
