"""What a plugin may offer to workers and ask of them: both keys, as one answer each."""

from yoi.errors import PermissionMalformed
from yoi.packages import ResolvedPlugin, eligibility
from yoi.permissions import Decision, Permission, PermissionKind
from yoi.workers.tools import PluginTool


def tool_offers(plugin: ResolvedPlugin) -> tuple[PluginTool, ...]:
    """Return the tools that manifest, operator and grant all have."""
    usable = {one.name for one in eligibility(plugin) if one.kind == "tool" and one.eligible}
    return tuple(
        PluginTool(
            service=plugin.name,
            name=tool.name,
            description=tool.description,
            input_schema=tool.input_schema,
            plugin_id=plugin.reference,
            digest=plugin.package.digest,
            external_write=tool.external_write,
        )
        for tool in plugin.package.manifest.tools
        if tool.name in usable
    )


def may_notify(plugin: ResolvedPlugin, worker: str) -> Decision:
    """Decide whether `plugin` may notify `worker`; the guest chose the name, so it may be any."""
    try:
        wanted = Permission(PermissionKind.NOTIFY, worker)
    except PermissionMalformed as exc:
        return Decision(allowed=False, code="denied.not_requested", message=exc.message)
    return plugin.authority.permission(wanted)
