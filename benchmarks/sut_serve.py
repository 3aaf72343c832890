"""Yoi under measurement: `yoi serve` on its own workspace. sut_serve.py PORT [INSTANCES [DISK]]

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
port, instances, durability = (sys.argv[1:] + ["1", "memory"][len(sys.argv) - 2 :])[:3]
write_workspace(folder, int(port), int(instances), durability)
yoi = Path(sysconfig.get_path("scripts")) / "yoi"
os.execv(yoi, [str(yoi), "serve", "--port", "0", "--workspace", str(folder)])
