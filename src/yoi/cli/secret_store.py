"""The workspace's secret store as a command opens it, with a person at the terminal."""

import getpass
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.errors import UsageError

if TYPE_CHECKING:
    from yoi.secrets import SecretStore


class TerminalPrompt:
    """Asks a person on the terminal itself, so that standard input may carry a value."""

    def passphrase(self) -> str:
        """Return the passphrase of the store."""
        return hidden("Passphrase of the secret store: ")

    def new_passphrase(self) -> str:
        """Return a passphrase that was typed twice alike."""
        first = hidden("New passphrase for the secret store: ")
        if hidden("The same again: ") != first:
            raise UsageError("usage.arguments", "the two passphrases differ; nothing was stored")
        return first


def open_workspace_store(folder: Path) -> "SecretStore":
    """Return the secret store of the workspace `folder`, as far as it was decided."""
    from yoi.decisions.secrets import secret_settings
    from yoi.secrets import open_store

    return open_store(folder, secret_settings(folder), TerminalPrompt())


def hidden(words: str) -> str:
    """Return what is typed on the terminal without echo; without a terminal, nothing is read."""
    try:
        with warnings.catch_warnings():
            # Otherwise getpass goes on with an echo, or takes the value on stdin for the answer.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(words)
    except getpass.GetPassWarning:
        raise UsageError(
            "usage.arguments",
            "there is no terminal on which a passphrase could be typed unseen",
            hint='a host without people uses a key file: [secrets] unlock = "key-file"',
        ) from None
    except EOFError:
        raise UsageError("usage.aborted", "nothing was typed") from None
