"""What a starting daemon runs: `python …/daemons/__main__.py NAME --config FILE`.

Run as a file, so that the daemon comes from the same tree as the command that started it, whatever that is called
and wherever Python would look.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def package_from_here() -> None:
    """Make the tree in which this file lies known as the package `ondeck`."""
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "ondeck", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ondeck"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    if not __package__:
        package_from_here()
    from ondeck.daemons.child import main

    sys.exit(main())
