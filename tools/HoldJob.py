"""`HoldJob`: keeps jobs from running."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("HoldJob")

import click

from ..rules.verbs import hold_jobs
from .errors import Command
from .jobverbs import job_options, on_jobs, why
from .opening import program, version_option


@click.command("hold", cls=Command, epilog="""\b
Examples:
  HoldJob 152254 sums
  HoldJob '1522*' sums --yes --reason "calibration is wrong"
  StartJob 152254 sums             lets it go""")  # fmt: skip
@job_options
@version_option
def hold(run: str, module: str, path: str | None, reason: str, wait: float, yes: bool) -> None:
    """Keep jobs from running until StartJob: those of MODULE of RUN, both names or globs; RUN also a number or a range.

    A live job is cancelled first, and then waits.
    """
    del path
    on_jobs(
        run, module, lambda session, config, jobs: hold_jobs(session, config, jobs, why("hold", reason)),
        yes=yes, wait=wait,
    )  # fmt: skip


def main() -> None:
    """The program HoldJob."""
    program(hold, "HoldJob")
