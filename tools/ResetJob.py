"""`ResetJob`: has jobs done again."""

from __future__ import annotations

if __name__ == "__main__" and not __package__:
    import _clone

    _clone.run("ResetJob")

import click

from ..rules.verbs import reset_jobs
from .errors import Command
from .jobverbs import job_options, on_jobs, why
from .opening import program, version_option


@click.command("reset", cls=Command, epilog="""\b
Examples:
  ResetJob 152254 sums             once more, please
  ResetJob '1522*' '*' --yes       all jobs of many runs, without a question
  ResetJob 152254 sums --ended     you know that nothing of it runs any more""")  # fmt: skip
@job_options
@click.option("--only", is_flag=True, help="Leave the jobs alone that have used its output.")
@click.option("--ended", is_flag=True, help='Of jobs that "may still run": you vouch that nothing runs any more.')
@version_option
def reset(
    run: str, module: str, path: str | None, reason: str, wait: float, yes: bool, only: bool, ended: bool
) -> None:
    """Have jobs done again: those of MODULE of RUN, both names or globs; RUN also a number or a range of numbers.

    A new attempt gets a directory of its own; the outputs that are there stand until it has succeeded. A live job is
    ended first. Jobs that have used the output of one of these are done again too.
    """
    del path
    on_jobs(
        run, module,
        lambda session, config, jobs: reset_jobs(session, config, jobs, why("reset", reason), only=only, ended=ended),
        yes=yes, wait=wait,
    )  # fmt: skip


def main() -> None:
    """The program ResetJob."""
    program(reset, "ResetJob")
