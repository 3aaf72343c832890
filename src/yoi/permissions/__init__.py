"""Permissions as parsed values: what may be dialled, and by whose word. No I/O happens here."""

from yoi.permissions.addresses import AddressClass, IPAddress, classify, may_dial
from yoi.permissions.authority import Authority, Decision, address_decision
from yoi.permissions.permission import Permission, PermissionKind
from yoi.permissions.reviews import Review, ReviewRow, ReviewState, review
from yoi.permissions.sets import PermissionSet, permission_hash
from yoi.permissions.targets import TargetKind, UrlTarget
from yoi.permissions.url import DEFAULT_PORTS, REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url

__all__ = [
    "DEFAULT_PORTS",
    "REQUEST_SCHEMES",
    "WEBSOCKET_SCHEMES",
    "AddressClass",
    "Authority",
    "Decision",
    "IPAddress",
    "Permission",
    "PermissionKind",
    "PermissionSet",
    "Review",
    "ReviewRow",
    "ReviewState",
    "TargetKind",
    "Url",
    "UrlTarget",
    "address_decision",
    "classify",
    "may_dial",
    "permission_hash",
    "review",
]
