"""Read TOML tables that are described once, as lists of keys; every fault is found in one reading.

A `TableSpec` names the keys of a table with their kind, default, bound and meaning. The same
description reads documents, writes the reference pages and gives editors a JSON Schema.
"""

from yoi.toml.describe import key_rows
from yoi.toml.faults import Fault, FaultKind, Faults, joined
from yoi.toml.kinds import (
    BAD,
    SAFE_ID_WORDS,
    AnyTable,
    AnyValue,
    Bad,
    Choice,
    Flag,
    Kind,
    ListOf,
    Never,
    Parsed,
    SafeId,
    Text,
    Whole,
    file_path,
    is_safe_id,
    quoted,
    type_name,
)
from yoi.toml.parsing import TomlFault, parse_toml
from yoi.toml.spec import Key, Nested, Row, Rows, TableSpec, json_schema

__all__ = [
    "BAD",
    "SAFE_ID_WORDS",
    "AnyTable",
    "AnyValue",
    "Bad",
    "Choice",
    "Fault",
    "FaultKind",
    "Faults",
    "Flag",
    "Key",
    "Kind",
    "ListOf",
    "Nested",
    "Never",
    "Parsed",
    "Row",
    "Rows",
    "SafeId",
    "TableSpec",
    "Text",
    "TomlFault",
    "Whole",
    "file_path",
    "is_safe_id",
    "joined",
    "json_schema",
    "key_rows",
    "parse_toml",
    "quoted",
    "type_name",
]
