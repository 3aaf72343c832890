"""Yoi under measurement: `yoi serve` as one machine of several. sut_cluster.py GATEWAY N NATS NAME

GATEWAY is a port, N how many services there are, all durable. It says R when the workspace is
written, and then becomes `yoi serve`, so what the kernel counts for it is Yoi and nothing else.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from harness.workspace import write_workspace

from yoi.testing.trusting import trust_workspace

gateway, services, servers, name = sys.argv[1:]
root = Path(tempfile.mkdtemp(prefix="yoi-bench-"))
os.environ["YOI_STATE_HOME"] = str(root / "state")
os.environ["XDG_CONFIG_HOME"] = str(root / "config")
folder = root / "w"
folder.mkdir()
write_workspace(folder, int(gateway), int(services), "disk")
settings = folder / ".yoi/yoi.toml"
settings.write_text(f'[cluster]\nnats = ["{servers}"]\n\n{settings.read_text()}')
trust_workspace(folder)
own = root / "config/yoi/host.toml"
own.parent.mkdir(parents=True)
own.touch(0o600)
own.write_text(f'[cluster]\nname = "{name}"\n')
print("R", flush=True)
# What it says from here on is no figure.
os.dup2(2, 1)
yoi = Path(sysconfig.get_path("scripts")) / "yoi"
os.execv(yoi, [str(yoi), "serve", "--port", "0", "--workspace", str(folder)])
