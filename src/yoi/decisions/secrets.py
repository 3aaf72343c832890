"""Which secret store a workspace uses and how tokens are asked for, as far as decided."""

from collections.abc import Mapping
from pathlib import Path

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.decisions.words import COMMAND, pending_error
from yoi.errors import EnablementError, SecretError
from yoi.secrets.authorizations import Authorization, authorizations
from yoi.secrets.workspace import Settings
from yoi.toml import Faults, joined

_TABLE = "secrets"
_AUTHORIZE = "authorize"


def secret_settings(workspace: Path, decisions: Decisions | None = None) -> Settings:
    """Return the settings of the secret store of `workspace`; no [secrets] table says nothing.

    Raises SecretError (`secret.settings`) for a table that was not decided as it stands: a stranger
    could name a key file that the stranger has, too.
    """
    try:
        file = read_file(workspace)
    except EnablementError as exc:
        raise SecretError("secret.settings", exc.message, hint=exc.hint) from None
    table = file.document.get(_TABLE, {})
    if isinstance(table, Mapping):
        if _TABLE not in file.entries:
            return Settings()
        # Without [[secrets.authorize]], whose faults keep no store closed.
        table = file.entries[_TABLE]
    found = file.in_force(decisions or AccountDecisions())
    if any(one.entry == _TABLE for one in found.pending):
        raise SecretError(
            "secret.settings",
            "the [secrets] table of yoi.toml was not decided here, so no store is opened",
            hint=f"review it with: {COMMAND}",
        )
    return Settings.parse(table, workspace)


def authorization(
    workspace: Path, name: str, decisions: Decisions | None = None
) -> Authorization | None:
    """Return the `[[secrets.authorize]]` called `name`, None where there is none.

    Raises TrustError (`trust.pending`) for one that was not decided as it stands, SecretError
    (`secret.settings`) for faults of these tables, and EnablementError.
    """
    file = read_file(workspace)
    found = file.in_force(decisions or AccountDecisions())
    entry = f"{_AUTHORIZE}:{name}"
    for verdict in found.pending:
        if verdict.entry == entry:
            raise pending_error(verdict)
    faults = Faults()
    tables = found.document if entry in found.entries else file.document
    secrets = tables.get(_TABLE)
    rows = secrets.get(_AUTHORIZE) if isinstance(secrets, Mapping) else None
    declared = {} if rows is None else authorizations(rows, faults)
    if faults.count:
        raise joined(
            [SecretError("secret.settings", f"{one.at} {one.message}") for one in faults],
            faults.count,
        )
    return declared.get(name)
