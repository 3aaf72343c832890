"""The names of one listener: which `Host` and which `Origin` a request to it may carry."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ListenerNames:
    """Exact, lower case values. A name that is not among them is refused, against DNS rebinding."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(
        cls,
        address: str,
        port: int,
        *,
        secure: bool,
        names: Iterable[str] = (),
        origins: Iterable[str] = (),
    ) -> "ListenerNames":
        """Return the names of a listener at `address` and `port`, as bound.

        A loopback listener is `localhost`, any other is its address; one of every address is only
        what `names` say. A name of `names` may have a port; without one it stands for the
        listener's port and the default ones, since a proxy before it may listen there.
        """
        scheme = "https" if secure else "http"
        found = ipaddress.ip_address(address)
        own: list[str] = []
        if not found.is_unspecified:
            own.append(f"[{found}]" if found.version == 6 else str(found))
        if found.is_loopback:
            own += _LOOPBACK
        hosts: set[str] = set()
        from_here: set[str] = set()
        for host in own:
            hosts |= _spellings(host, port, scheme)
            from_here.add(_origin(scheme, host, port))
        for name in names:
            host, given = _split(name)
            for there in {scheme, "https"}:
                here = (given,) if given is not None else (port, _DEFAULT_PORT[there])
                for one in here:
                    hosts |= _spellings(host, one, there)
                    from_here.add(_origin(there, host, one))
        return cls(frozenset(hosts), frozenset(from_here.union(one.lower() for one in origins)))


def url_of(address: str, port: int, *, secure: bool, names: Iterable[str] = ()) -> str:
    """Return the URL of a listener at `address` and `port`, as bound, for people to follow.

    Beyond loopback that is the first of its names: a certificate is for a name, and where every
    address is listened at none is one. At loopback a name is that of a proxy, somewhere else.
    """
    scheme = "https" if secure else "http"
    found = ipaddress.ip_address(address)
    name = None if found.is_loopback else next(iter(names), None)
    if name is None:
        return _origin(scheme, f"[{found}]" if found.version == 6 else str(found), port)
    host, given = _split(name)
    return _origin(scheme, host, port if given is None else given)


def _spellings(host: str, port: int, scheme: str) -> set[str]:
    """Return what clients write as Host; the default port is left out, but need not be."""
    written = {f"{host}:{port}"}
    if port == _DEFAULT_PORT[scheme]:
        written.add(host)
    return written


def _origin(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{host}" if port == _DEFAULT_PORT[scheme] else f"{scheme}://{host}:{port}"


def _split(name: str) -> tuple[str, int | None]:
    head, colon, tail = name.lower().rpartition(":")
    if colon and tail.isdecimal():
        return head, int(tail)
    return name.lower(), None
