"""`python -m ondeck`, the same as the command `ondeck`; also `python FOLDER` with the folder of a clone."""

if __name__ == "__main__" and not __package__:
    from tools import _clone

    _clone.run("cli")

from .tools.cli import main

if __name__ == "__main__":
    main()
