import sys
from pathlib import Path

# Examples are scripts: they import what lies beside them.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
