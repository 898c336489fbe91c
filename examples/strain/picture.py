"""Draw the README's picture: the spectra of the demo's three runs, with their lines.

python picture.py [FILE]        (docs/pictures/demo.png)
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # before gwpy, which imports matplotlib

import strain as strains
from daq import take
from pictures import overview
from spectrum import write
from truth import KNOWN

TITLE = "One second of real strain, seconds before an injected merger: noise, and the narrow lines found"


def main() -> int:
    """Draw it."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "pictures" / "demo.png"
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for run in take(Path(folder)):
            strain = strains.read(run.path)
            spectrum = strains.spectrum(strain, resolution=1.0)
            parts.append((strain, spectrum, spectrum.find_lines(false_alarm=1e-3)))
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, overview(parts, TITLE, KNOWN))
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
