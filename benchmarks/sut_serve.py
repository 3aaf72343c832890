"""Yoi under measurement: `yoi serve` on a workspace of its own. sut_serve.py PORT [INSTANCES]

This process becomes `yoi serve`, so what the kernel counts for it is Yoi and nothing else.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from harness.workspace import write_workspace

folder = Path(tempfile.mkdtemp(prefix="yoi-bench-"))
os.environ["YOI_STATE_HOME"] = tempfile.mkdtemp(prefix="yoi-bench-state-")
write_workspace(folder, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
yoi = Path(sysconfig.get_path("scripts")) / "yoi"
os.execv(yoi, [str(yoi), "serve", "--port", "0", "--workspace", str(folder)])
