"""Packages: what a plugin is before it is enabled. They are read; nothing in them is executed."""

from yoi.packages.declarations import (
    INSTANCE_WORLD,
    TOOL_WORLD,
    ComponentRuntime,
    Durability,
    IngressDecl,
    PythonRuntime,
    RuntimeDecl,
    RuntimeKind,
    ServiceDecl,
    ToolDecl,
)
from yoi.packages.difference import Difference, difference
from yoi.packages.digest import is_digest, package_digest
from yoi.packages.enablement import Diagnosis, EnabledEntry, Enablement
from yoi.packages.folder import LeftOut, exclusion
from yoi.packages.inspection import Finding, Inspection, Status, Surface, eligibility, inspect
from yoi.packages.manifest import MANIFEST_NAME, Manifest
from yoi.packages.manifest_warnings import ManifestWarning
from yoi.packages.pack import PackResult, pack
from yoi.packages.package import SUFFIX, Package, read_package
from yoi.packages.resolve import (
    Resolution,
    ResolvedPlugin,
    check_binding,
    resolve,
    resolve_entry,
    resolve_package,
)
from yoi.packages.schema import SchemaProblem, schema_problems, validate_config
from yoi.packages.source import PythonEntry
from yoi.packages.stores import (
    PackageInventory,
    Store,
    Unreadable,
    add_to_store,
    package_inventory,
    store_package,
)
from yoi.packages.templates import TEMPLATES, Created, create_from_template

__all__ = [
    "INSTANCE_WORLD",
    "MANIFEST_NAME",
    "SUFFIX",
    "TEMPLATES",
    "TOOL_WORLD",
    "ComponentRuntime",
    "Created",
    "Diagnosis",
    "Difference",
    "Durability",
    "EnabledEntry",
    "Enablement",
    "Finding",
    "IngressDecl",
    "Inspection",
    "LeftOut",
    "Manifest",
    "ManifestWarning",
    "PackResult",
    "Package",
    "PackageInventory",
    "PythonEntry",
    "PythonRuntime",
    "Resolution",
    "ResolvedPlugin",
    "RuntimeDecl",
    "RuntimeKind",
    "SchemaProblem",
    "ServiceDecl",
    "Status",
    "Store",
    "Surface",
    "ToolDecl",
    "Unreadable",
    "add_to_store",
    "check_binding",
    "create_from_template",
    "difference",
    "eligibility",
    "exclusion",
    "inspect",
    "is_digest",
    "pack",
    "package_digest",
    "package_inventory",
    "read_package",
    "resolve",
    "resolve_entry",
    "resolve_package",
    "schema_problems",
    "store_package",
    "validate_config",
]
