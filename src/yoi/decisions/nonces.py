"""Where the numbers of signatures are kept: beside the workspace's secrets, and by this account."""

import os
from pathlib import Path

from yoi.decisions.folder import decisions_folder, workspace_key
from yoi.limits import LIMITS, Limits
from yoi.secrets.nonces import NonceStore


def nonce_store(workspace: Path, limits: Limits = LIMITS) -> NonceStore:
    """Return the store of the keys of `workspace`: one file there, one in the account's folder."""
    real = os.path.realpath(workspace)
    account = decisions_folder(os.environ, Path.home()).parent / "nonces"
    return NonceStore(
        Path(real) / ".yoi" / "nonces.json", account / f"{workspace_key(workspace)}.json", limits
    )
