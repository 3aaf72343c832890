"""Host-owned connections and one-shot requests. What others may use is below."""

from yoi.connections.answers import BodyKind, HttpAnswer, HttpFailure
from yoi.connections.connector import Connector, WebSocket, WebSocketOwner
from yoi.connections.dialler import SocketConnector
from yoi.connections.host_connection import HostConnection
from yoi.connections.machine_network import MachineNetwork
from yoi.connections.request_client import Authorise, RequestClient
from yoi.connections.requests import PreparedRequest, Redirects, request_body, request_url
from yoi.connections.resolver import HostResolver, Resolver, SystemResolver
from yoi.connections.sink import ConnectionSink
from yoi.connections.sockets import default_tls
from yoi.connections.target import DialTarget
from yoi.connections.timing import CallLater, TimerHandle
from yoi.connections.ways import Ways

__all__ = [
    "Authorise",
    "BodyKind",
    "CallLater",
    "ConnectionSink",
    "Connector",
    "DialTarget",
    "HostConnection",
    "HostResolver",
    "HttpAnswer",
    "HttpFailure",
    "MachineNetwork",
    "PreparedRequest",
    "Redirects",
    "RequestClient",
    "Resolver",
    "SocketConnector",
    "SystemResolver",
    "TimerHandle",
    "Ways",
    "WebSocket",
    "WebSocketOwner",
    "default_tls",
    "request_body",
    "request_url",
]
