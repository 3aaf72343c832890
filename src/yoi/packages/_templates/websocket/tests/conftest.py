"""Lets the tests import plugin.py, which lies beside this folder, and the plugin's libraries."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent
sys.path[:0] = [str(FOLDER), str(FOLDER / "libs.zip")]
