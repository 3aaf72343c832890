"""Permissions as parsed values: what may be dialled, and by whose word. No I/O happens here."""

from yoi.permissions.addresses import AddressClass, Network, assumable, classify, may_dial
from yoi.permissions.authority import (
    Authority,
    Decision,
    address_decision,
    addresses_denied,
    private_name_denied,
)
from yoi.permissions.hosts import IPAddress
from yoi.permissions.permission import Permission, PermissionKind
from yoi.permissions.pointers import JsonPointer, PointerFault, array_index
from yoi.permissions.review_rows import ReviewRow, ReviewState
from yoi.permissions.reviews import Review, review
from yoi.permissions.secrets import Binding, Capture, SecretUse
from yoi.permissions.sets import PermissionSet, permission_hash
from yoi.permissions.targets import TargetKind, UrlTarget, own_target
from yoi.permissions.url import DEFAULT_PORTS, REQUEST_SCHEMES, WEBSOCKET_SCHEMES, Url
from yoi.toml import is_safe_id

__all__ = [
    "DEFAULT_PORTS",
    "REQUEST_SCHEMES",
    "WEBSOCKET_SCHEMES",
    "AddressClass",
    "Authority",
    "Binding",
    "Capture",
    "Decision",
    "IPAddress",
    "JsonPointer",
    "Network",
    "Permission",
    "PermissionKind",
    "PermissionSet",
    "PointerFault",
    "Review",
    "ReviewRow",
    "ReviewState",
    "SecretUse",
    "TargetKind",
    "Url",
    "UrlTarget",
    "address_decision",
    "addresses_denied",
    "array_index",
    "assumable",
    "classify",
    "is_safe_id",
    "may_dial",
    "own_target",
    "permission_hash",
    "private_name_denied",
    "review",
]
