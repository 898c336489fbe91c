"""What the benchmarks share; with the tests' own PostgreSQL server among what can be imported."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
