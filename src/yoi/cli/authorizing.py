"""`yoi secret authorize`: a person agrees in a browser, and the tokens go into the secret store."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from yoi.cli.options import HostConfig, Json, Workspace, workspace_folder
from yoi.cli.output import Output, error_console, shown
from yoi.errors import UsageError

if TYPE_CHECKING:
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
        str, typer.Option("--token-url", metavar=_URL, help="The server's token endpoint.")
    ],
    client_id: Annotated[
        str, typer.Option("--client-id", metavar="ID", help="What the server calls this client.")
    ],
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
        int,
        typer.Option(
            "--port", min=0, max=65535, help="Port of http://127.0.0.1:PORT/callback; 0: any."
        ),
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the page's address; open nothing.")
    ] = False,
    workspace: Workspace = None,
    as_json: Json = False,
    host_config: HostConfig = None,
) -> None:
    """Have a person agree in a browser (OAuth 2), and store the tokens. None is ever shown."""
    import asyncio

    from yoi.secrets.store import check_name
    from yoi.serving.host_settings import HostSettings

    if (authorize_url is None) == (device_url is None):
        raise UsageError(
            "usage.arguments",
            "give one of --authorize-url and --device-url",
            hint="yoi secret authorize --help",
        )
    refresh = check_name(refresh_as or f"{check_name(name)}.refresh")
    if refresh == name:
        raise UsageError(
            "usage.arguments",
            "the refresh token needs a name of its own",
            hint="yoi secret authorize --help",
        )
    machine = HostSettings.load(host_config)
    store = _opened(workspace)
    provider = _provider(
        store, token_url, authorize_url, device_url, client_id, client_secret, scope, parameter
    )
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
    from yoi.connections.resolver import SystemResolver
    from yoi.connections.ways import Ways, unused_proxy_hint
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
    clock, limits, ways_out = SystemClock(), machine.limits, machine.ways_out
    resolver = SystemResolver(limits, clock=clock, hint=unused_proxy_hint(ways_out))
    client = RequestClient(resolver, clock, limits, ways=Ways(ways_out, resolver, limits))
    flow = Authorizing(provider, client, show, limits)
    return await (flow.by_browser(port) if provider.device_url is None else flow.by_device())


def _provider(
    store: "SecretStore",
    token_url: str,
    authorize_url: str | None,
    device_url: str | None,
    client_id: str,
    client_secret: str | None,
    scopes: list[str] | None,
    parameters: list[str] | None,
) -> "Provider":
    from yoi.secrets.authorize import Provider, endpoint

    pairs = [text.partition("=") for text in parameters or ()]
    wrong = next((key for key, equals, _ in pairs if not (key and equals)), None)
    if wrong is not None:
        raise UsageError(
            "usage.arguments",
            f"--param is KEY=VALUE, not {wrong}",
            hint="--param access_type=offline",
        )
    return Provider(
        token_url=endpoint(token_url, "token URL"),
        authorize_url=(authorize_url and endpoint(authorize_url, "authorize URL")) or None,
        device_url=(device_url and endpoint(device_url, "device URL")) or None,
        client_id=client_id,
        client_secret=None if client_secret is None else store.read(client_secret).secret,
        scopes=tuple(scopes or ()),
        parameters={key: value for key, _, value in pairs},
    )


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
