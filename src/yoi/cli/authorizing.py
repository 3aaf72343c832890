"""`yoi secret authorize`: a person agrees in a browser, and the tokens go into the secret store."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import HostConfig, Json, Workspace, workspace_folder
from yoi.cli.output import Output, error_console, shown
from yoi.errors import UsageError
from yoi.secrets.authorizations import Authorization, ClientAuth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from yoi.secrets import SecretStore
    from yoi.secrets.authorize import Provider, Tokens
    from yoi.serving.host_settings import HostSettings

_URL = "URL"


def authorize(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the access token is called in the store.")
    ],
    token_url: Annotated[
        str | None,
        typer.Option(
            "--token-url",
            metavar=_URL,
            help="The server's token endpoint; then [[secrets.authorize]] is not looked at.",
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option("--client-id", metavar="ID", help="What the server calls this client."),
    ] = None,
    authorize_url: Annotated[
        str | None,
        typer.Option(
            "--authorize-url",
            metavar=_URL,
            help="The page that asks, in a browser of this machine.",
        ),
    ] = None,
    device_url: Annotated[
        str | None,
        typer.Option(
            "--device-url", metavar=_URL, help="Instead: a code is typed on any other device."
        ),
    ] = None,
    client_secret: Annotated[
        str | None,
        typer.Option(
            "--client-secret", metavar="STORE_NAME", help="A secret of the store, never a value."
        ),
    ] = None,
    client_auth: Annotated[
        ClientAuth | None,
        typer.Option(
            "--client-auth",
            help="How the client's secret is sent: in the body (default), or as HTTP Basic.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="May be repeated.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="One of the server's own; repeatable."),
    ] = None,
    refresh_as: Annotated[
        str | None,
        typer.Option(
            "--refresh-as",
            metavar="NAME",
            help="What a refresh token is called in the store (default: NAME.refresh).",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="Port of http://127.0.0.1:PORT/callback; 0: any."
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the page's address; open nothing.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
    host_config: HostConfig = None,
) -> None:
    """Have a person agree in a browser (OAuth 2), and store the tokens. None is ever shown.

    What yoi.toml says in a [[secrets.authorize]] called NAME need not be said here.
    """
    import asyncio

    from yoi.secrets.store import check_name
    from yoi.serving.host_settings import HostSettings

    given = Authorization(
        token_url=token_url,
        authorize_url=authorize_url,
        device_url=device_url,
        client_id=client_id,
        client_secret=client_secret,
        client_auth=client_auth,
        scopes=tuple(scope or ()),
        parameters=_pairs(parameter or ()),
        refresh_as=refresh_as,
        port=port,
    )
    settings = _complete(given, workspace_folder(workspace), check_name(name))
    refresh = check_name(settings.refresh_as or f"{name}.refresh")
    if refresh == name:
        raise _usage("the refresh token needs a name of its own")
    machine = HostSettings.load(host_config)
    store = _opened(workspace)
    provider = _provider(store, settings)
    port = settings.port or 0
    tokens = asyncio.run(_asked(provider, machine, port, opens=not no_browser))
    # The one that lasts comes first: without it the other is worth an hour.
    if tokens.refresh is not None:
        store.set(refresh, tokens.refresh)
    version = store.set(name, tokens.access)
    kept = None if tokens.refresh is None else refresh
    Output("secret authorize", as_json).show(
        {
            "name": name,
            "version": version,
            "refresh": kept,
            "expires_in_s": tokens.expires_in_s,
            "scopes": list(tokens.scopes),
            "stored": True,
        },
        lambda: _words(name, kept, tokens),
    )


async def _asked(
    provider: "Provider", machine: "HostSettings", port: int, *, opens: bool
) -> "Tokens":
    import threading
    import webbrowser

    from yoi.connections import RequestClient
    from yoi.connections.machine_network import MachineNetwork
    from yoi.connections.resolver import SystemResolver
    from yoi.connections.ways import Ways
    from yoi.runtime.authorizing import Authorizing
    from yoi.types import SystemClock

    def show(url: str, code: str | None) -> None:
        # On stderr, with --json too: a person has to read it.
        screen = error_console()
        screen.print(shown("Open this page, and agree there:"), soft_wrap=True)
        screen.print(shown(f"  {url}", 8192, "cyan"), soft_wrap=True, crop=False)
        if code is not None:
            screen.print(shown(f"and type: {code}", style="bold"), soft_wrap=True)
        if opens and _has_browser():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    # By the ways out of this machine, as the host itself.
    clock, limits, network = SystemClock(), machine.limits, MachineNetwork(machine.ways_out)
    resolver = SystemResolver(limits, clock=clock, network=network)
    client = RequestClient(resolver, clock, limits, ways=Ways(network, resolver, limits))
    flow = Authorizing(provider, client, show, limits)
    return await (flow.by_browser(port) if provider.device_url is None else flow.by_device())


def _complete(given: Authorization, folder: "Path", name: str) -> Authorization:
    """Return `given` with what yoi.toml declares under `name`; all that is needed is there."""
    settings = given
    if given.token_url is None:
        from yoi.decisions.secrets import authorization

        declared = authorization(folder, name)
        if declared is None:
            raise _usage(
                f"yoi.toml has no [[secrets.authorize]] called {name}: give --token-url, "
                "--client-id and one of --authorize-url and --device-url"
            )
        settings = declared.overridden(given)
    if settings.client_id is None:
        raise _usage("give --client-id")
    if (settings.authorize_url is None) == (settings.device_url is None):
        raise _usage("give one of --authorize-url and --device-url")
    return settings


def _pairs(texts: "Sequence[str]") -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
    if wrong is not None:
        raise UsageError(
            "usage.arguments",
            f"--param is KEY=VALUE, not {wrong}",
            hint="--param access_type=offline",
        )
    return {key: value for key, _, value in pairs}


def _provider(store: "SecretStore", settings: Authorization) -> "Provider":
    from yoi.secrets.authorize import Provider, endpoint

    secret, page, device = settings.client_secret, settings.authorize_url, settings.device_url
    return Provider(
        token_url=endpoint(settings.token_url or "", "token URL"),
        authorize_url=None if page is None else endpoint(page, "authorize URL"),
        device_url=None if device is None else endpoint(device, "device URL"),
        client_id=settings.client_id or "",
        client_secret=None if secret is None else store.read(secret).secret,
        client_auth=settings.client_auth or ClientAuth.BODY,
        scopes=settings.scopes,
        parameters=settings.parameters,
    )


def _usage(message: str) -> UsageError:
    return UsageError("usage.arguments", message, hint="yoi secret authorize --help")


def _opened(workspace: "Workspace") -> "SecretStore":
    """Return the workspace's store, opened: a person agrees to nothing that cannot be kept."""
    from yoi.cli.secret_store import open_workspace_store

    store = open_workspace_store(workspace_folder(workspace))
    store.entries()
    return store


def _has_browser() -> bool:
    """Return whether a browser would open in a window, and not take this terminal."""
    return sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _words(name: str, refresh: str | None, tokens: "Tokens") -> "RenderableType":
    words = f"stored {name}"
    if tokens.expires_in_s is not None:
        words += f", good for {tokens.expires_in_s} s"
    if refresh is not None:
        words += f"\nstored {refresh}, which renews it"
    if tokens.scopes:
        words += f"\ngranted: {' '.join(tokens.scopes)}"
    from rich.console import Group

    return Group(*(shown(line) for line in words.splitlines()))
