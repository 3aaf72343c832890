"""Which secret store a workspace uses, as far as that was decided."""

from pathlib import Path

from yoi.decisions.file import read_file
from yoi.decisions.port import AccountDecisions, Decisions
from yoi.decisions.words import COMMAND
from yoi.errors import EnablementError, SecretError
from yoi.secrets.workspace import Settings

_TABLE = "secrets"


def secret_settings(workspace: Path, decisions: Decisions | None = None) -> Settings:
    """Return the settings of the secret store of `workspace`; no [secrets] table says nothing.

    Raises SecretError (`secret.settings`) for a table that was not decided as it stands: a stranger
    could name a key file that the stranger has, too.
    """
    try:
        file = read_file(workspace)
    except EnablementError as exc:
        raise SecretError("secret.settings", exc.message, hint=exc.hint) from None
    if _TABLE not in file.document:
        return Settings()
    found = file.in_force(decisions or AccountDecisions())
    if any(one.entry == _TABLE for one in found.pending):
        raise SecretError(
            "secret.settings",
            "the [secrets] table of yoi.toml was not decided here, so no store is opened",
            hint=f"review it with: {COMMAND}",
        )
    return Settings.parse(file.document[_TABLE], workspace)
