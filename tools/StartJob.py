"""`StartJob`: says go to jobs that wait."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("StartJob")

import click

from ..rules.verbs import start_jobs
from .errors import Command
from .jobverbs import job_options, on_jobs, why
from .opening import program, version_option


@click.command("start", cls=Command, epilog="""\b
Examples:
  StartJob 152254 sums
  StartJob '1522*' '*' --yes""")  # fmt: skip
@job_options
@version_option
def start(run: str, module: str, path: str | None, reason: str, wait: float, yes: bool) -> None:
    """Say go to jobs: those of MODULE of RUN, both names or globs; RUN also a number or a range of numbers.

    Their validation is YES from now on; a job that waits for that runs when its gates are open.
    """
    del path
    on_jobs(
        run, module, lambda session, config, jobs: start_jobs(session, config, jobs, why("start", reason)),
        yes=yes, wait=wait,
    )  # fmt: skip


def main() -> None:
    """The program StartJob."""
    program(start, "StartJob")
