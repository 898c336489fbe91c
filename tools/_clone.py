"""Lets a tool be run as a file, `python tools/listdb.py`, from a clone of any name and from any folder.

Beside this file are modules with names like those of the standard library, and above it are the packages config, db
and the like: neither folder may stay on the path of imports.
"""

import sys

_HERE = __file__.rpartition("/")[0] or "."


def _leave_path() -> None:
    import os.path

    ours = {os.path.realpath(_HERE), os.path.realpath(os.path.join(_HERE, ".."))}  # noqa: PTH118 - too early
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) not in ours]


def make_importable() -> None:
    """Make the clone that this file lies in the package `ondeck` of this process."""
    _leave_path()
    import importlib.util
    from pathlib import Path

    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "ondeck", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["ondeck"] = package
    spec.loader.exec_module(package)


def run(module: str) -> None:
    """Run the function `main` of the module of that name in tools/; does not return."""
    make_importable()
    import importlib

    importlib.import_module(f"ondeck.tools.{module}").main()
    sys.exit(0)
