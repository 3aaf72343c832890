"""What the control socket of a host answers about pairing."""

from collections.abc import Mapping
from typing import Any

from yoi.control.server import Method
from yoi.errors import WorkerError
from yoi.limits import Limits
from yoi.permissions.senders import SenderRule
from yoi.runtime.pairing import Pairings
from yoi.runtime.services import Services
from yoi.runtime.worker_manager import WorkerManager


class PairingMethods:
    """The methods `worker.pair`, `worker.senders` and `worker.forget_sender`."""

    def __init__(
        self, pairings: Pairings, workers: WorkerManager, services: Services, limits: Limits
    ) -> None:
        self._pairings = pairings
        self._workers = workers
        self._services = services
        self._limits = limits

    @property
    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "worker.pair": self._pair,
            "worker.senders": self._senders,
            "worker.forget_sender": self._forget,
        }

    async def _pair(self, params: dict[str, Any]) -> Any:
        name, chosen = str(params["name"]), params.get("plugin")
        fits = [
            plugin
            for plugin, rules in self._heard(name).items()
            if chosen in (None, plugin) and any(rule.pair is not None for rule in rules)
        ]
        if not fits:
            raise WorkerError(
                "worker.pairing",
                f"no plugin that worker {name} hears says where a code is read",
                hint='add pair = "/POINTER" to its [[plugins.enabled.senders]], then: yoi trust',
            )
        if len(fits) > 1:
            raise WorkerError(
                "worker.pairing",
                f"worker {name} hears several plugins that read a code: {', '.join(fits)}",
                hint=f"yoi worker pair {name} --plugin {fits[0]}",
            )
        return {
            "plugin": fits[0],
            "code": self._pairings.offer(name, fits[0]),
            "minutes": self._limits.pairing_ms // 60_000,
            "tries": self._limits.pairing_tries,
        }

    async def _senders(self, params: dict[str, Any]) -> Any:
        return [
            {
                "plugin": plugin,
                "filtered": bool(rules),
                "listed": [one for rule in rules for one in rule.listed],
                "paired": [
                    {"sender": one.sender, "at_ms": one.at_ms, "worker": one.worker}
                    for one in self._pairings.listed(plugin)
                    if one.rule in [rule.key for rule in rules if rule.pair is not None]
                ],
            }
            for plugin, rules in self._heard(str(params["name"])).items()
        ]

    async def _forget(self, params: dict[str, Any]) -> Any:
        await self._pairings.forget(str(params["plugin"]), str(params["sender"]))
        return {}

    def _heard(self, name: str) -> dict[str, tuple[SenderRule, ...]]:
        """Return the sender rules of each running plugin that the worker `name` hears."""
        self._workers.worker_set.worker(name)
        profiles = {profile.name: profile for profile, _ in self._workers.worker_set.with_profiles}
        running = {str(service.name): service for service in self._services}
        return {
            plugin: running[plugin].spec.senders.rules
            for plugin in sorted(profiles[name].notify)
            if plugin in running
        }
