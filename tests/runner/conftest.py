import sys
from pathlib import Path

# The guest side is not installed anywhere: it is built into the runner component.
sys.path.append(str(Path(__file__).parents[2] / "runner"))
