"""Host-owned connections and one-shot requests. What others may use is below."""

from yoi.connections.answers import BodyKind, HttpAnswer, HttpFailure
from yoi.connections.connector import Connector, Wire, WireOwner
from yoi.connections.dialler import SocketConnector, default_connector
from yoi.connections.host_connection import CallLater, ConnectionSink, HostConnection, TimerHandle
from yoi.connections.plan import ConnectionPlan
from yoi.connections.request_client import Authorise, RequestClient
from yoi.connections.requests import PreparedRequest, Redirects, request_body, request_url
from yoi.connections.resolver import Resolver, SystemResolver
from yoi.connections.sockets import default_tls

__all__ = [
    "Authorise",
    "BodyKind",
    "CallLater",
    "ConnectionPlan",
    "ConnectionSink",
    "Connector",
    "HostConnection",
    "HttpAnswer",
    "HttpFailure",
    "PreparedRequest",
    "Redirects",
    "RequestClient",
    "Resolver",
    "SocketConnector",
    "SystemResolver",
    "TimerHandle",
    "Wire",
    "WireOwner",
    "default_connector",
    "default_tls",
    "request_body",
    "request_url",
]
