"""`MachineNetwork`: `[network]` of host.toml as it is in force; each dial asks anew."""

import os
from collections.abc import Mapping

from yoi.permissions.ways_out import WaysOut
from yoi.version import __version__

USER_AGENT = f"yoi/{__version__}"
_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


class MachineNetwork:
    """One for all plugins of a host. What is put into `settings` holds for every later dial."""

    def __init__(self, settings: WaysOut | None = None) -> None:
        self.settings = settings or WaysOut()

    @property
    def user_agent(self) -> str:
        """Return the `User-Agent` of what is sent now, where manifest and plugin name none."""
        return self.settings.user_agent or USER_AGENT

    def hint(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Return what to say of a failed dial where the environment names a proxy in vain."""
        name = next((one for one in _VARIABLES if environment.get(one)), None)
        if name is None or self.settings.proxy is not None:
            return None
        return (
            f"{name} is set and not used: the environment's proxies are not asked; where one is "
            "the only way out, name it as `proxy` in [network] of host.toml"
        )

    def name_hint(self) -> str | None:
        """Return what to say of a name that could not be looked up."""
        settings = self.settings
        if settings.proxy is None or settings.proxy_resolves:
            return self.hint()
        return (
            f"names are looked up here, not by the proxy {settings.proxy.where}; where only it can "
            "look them up, write proxy_resolves = true in [network] of host.toml"
        )
