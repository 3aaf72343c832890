"""Host-owned connections: the dialler and the WebSocket driver. What others may use is below."""

from yoi.connections.connector import Connector, Wire, WireOwner
from yoi.connections.dialler import SocketConnector, default_connector
from yoi.connections.host_connection import CallLater, ConnectionSink, HostConnection, TimerHandle
from yoi.connections.plan import ConnectionPlan
from yoi.connections.resolver import Resolver, SystemResolver
from yoi.connections.sockets import default_tls

__all__ = [
    "CallLater",
    "ConnectionPlan",
    "ConnectionSink",
    "Connector",
    "HostConnection",
    "Resolver",
    "SocketConnector",
    "SystemResolver",
    "TimerHandle",
    "Wire",
    "WireOwner",
    "default_connector",
    "default_tls",
]
