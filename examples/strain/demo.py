"""ondeck on real data: three runs go from a DAQ to a verified archive, while you watch.

    python demo.py [--output FOLDER]

A second of LIGO's and Virgo's strain comes detector by detector into a DAQ's directory. ondeck's daemons
find the runs, copy and verify them, have the module `spectrum` look for narrow lines in each, and archive
them. The demo uses the same commands as you would, in a folder of its own, and stops the daemons at the end
whatever happens. Then it looks for itself whether the archive is what the DAQ wrote, and whether the lines
are those that are known.

The exit code is 0 if all is well, 1 if something is wrong, 130 or 143 if it was interrupted.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from archive import ArchiveDiffers, read_checksums, verify
from commands import CommandFailed, Commands, Process
from progress import ROAD, Progress, progress
from results import ResultsDiffer, collect
from rich.console import Console
from rich.markup import escape
from workplace import HERE, Workplace, make

RUNS = 3
PAUSE = 3.0
"""Seconds between two runs of the DAQ."""
LOOK = 0.5
"""Seconds between two looks at the runs."""


class DemoFailed(Exception):
    """Something is not as it should be; the message says what."""


class Interrupted(Exception):
    """A signal asked the demo to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"interrupted by {signal.Signals(number).name}")


class Demo:
    """One run of the demo in one workplace."""

    def __init__(self, place: Workplace, console: Console, limit: float) -> None:
        self.place, self.console, self.limit = place, console, limit
        self.commands = Commands(place)
        self.begin = time.monotonic()

    def run(self) -> None:
        """All of it; raises DemoFailed, CommandFailed, ArchiveDiffers, ResultsDiffer, Interrupted."""
        self.say(f"The demo's folder: {shown(self.place.folder)}")
        self.say("The data: one second of real strain of 2010-09-16, some seconds before the merger")
        self.say("of a signal that was injected into the detectors' hardware. So there is noise, and")
        self.say("there are lines, but there is no chirp.")
        try:
            self.command("builddb")
            self.command("ondeck", "start", "--wait", "60")
            checksums = self.flow()
            self.heading("The runs")
            self.command("listdb", "--columns", "name,events,size,status,data,jobs")
        finally:
            self.stop()
        self.heading("The archive, held against what the DAQ wrote")
        self.say("  (by Python's tarfile and hashlib and by h5py, not by ondeck)")
        for line in verify(self.place.tape, read_checksums(checksums)):
            self.say(f"  ✔ {line}")
        self.heading("The lines, held against what is known")
        for line in collect(self.place):
            self.say(line)
        self.hints()

    def flow(self) -> str:
        """Let the DAQ write its runs, and wait until they are archived; returns what the DAQ printed."""
        self.heading(f"The DAQ writes {RUNS} runs, {PAUSE:g} s apart, into {shown(self.place.daq)}")
        argv = [sys.executable, str(HERE / "daq.py"), str(self.place.daq), "--pause", f"{PAUSE:g}"]
        printed = self.place.folder / "daq.sha256"
        with printed.open("wb") as out:
            daq = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                env=self.commands.environment(),
                start_new_session=True,
            )
        try:
            with progress(self.console) as table:
                self.watch(daq, table)
        finally:
            if daq.poll() is None:
                daq.terminate()
            daq.wait()
        return printed.read_text()

    def watch(self, daq: subprocess.Popen[bytes], table: Progress) -> None:
        """Show the runs until all are archived; raises DemoFailed."""
        end = time.monotonic() + self.limit
        while True:
            rows = self.commands.runs()
            table.show(rows)
            if [row["status"] for row in rows] == [ROAD[-1]] * RUNS and daq.poll() == 0:
                return
            if daq.poll():
                raise DemoFailed(f"the DAQ ended with exit code {daq.returncode}")
            if stuck := [row for row in rows if row["status"] not in ROAD]:
                raise DemoFailed(self.why(stuck))
            if time.monotonic() > end:
                late = [row for row in rows if row["status"] != ROAD[-1]]
                raise DemoFailed(f"not all {RUNS} runs are archived after {self.limit:g} s\n{self.why(late)}")
            time.sleep(LOOK)

    def why(self, rows: list[dict[str, Any]]) -> str:
        """The history of runs that don't go on, and the ends of the daemons' logs."""
        texts = [f"{row['name']} is {row['status']}\n{self.ask('history', str(row['name']))}" for row in rows]
        for path in sorted(self.place.logs.glob("*")):
            if lines := path.read_text(errors="replace").splitlines()[-10:]:
                texts.append("\n".join([f"the end of {shown(path)}:", *lines]))
        return "\n\n".join(texts)

    def ask(self, *arguments: str) -> str:
        """What `ondeck` says, also if it is unhappy."""
        try:
            return self.commands("ondeck", *arguments)
        except CommandFailed as error:
            return str(error)

    def stop(self) -> None:
        """Stop the daemons, and see that nothing of the demo runs any more; signals must wait until then."""
        interrupted = sys.exception() is not None
        old = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        try:
            known = self.commands.daemons()
            troubles = []
            try:
                self.command("ondeck", "stop", quiet=True)
            except CommandFailed as error:
                troubles.append(str(error))
            left = self.commands.wait_gone(0 if interrupted else 5, known)
            if left and not interrupted:
                troubles.append(f"left running: {listed(left)}")
            # a job of the local batch system outlives its daemons, by design; but nobody waits for it here
            if still := self.commands.kill(5):
                troubles.append(f"can't be killed: {listed(still)}")
            if troubles and interrupted:  # what interrupts must be heard too
                print("demo:", "\n".join(troubles), file=sys.stderr)
            elif troubles:
                raise DemoFailed("\n".join(troubles))
            else:
                self.say("The daemons are stopped, and nothing else of the demo runs any more.")
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def hints(self) -> None:
        """Where things are, and what may be tried next."""
        folder = self.place.folder
        self.heading(f"All is well, after {time.monotonic() - self.begin:.0f} s. What to look at")
        for what, path in (
            ("pictures", self.place.results / "H1" / "asd.png"),
            ("", self.place.results / "H1" / "qtransform.png"),
            ("lines", self.place.results / "H1" / "lines.json"),
            ("the archive", self.place.tape),
            ("the daemons' logs", self.place.logs),
            ("the configuration", self.place.config),
        ):
            self.say(f"  {what:<18} {shown(path)}")
        self.heading("What to try next")
        self.say(f"  export ONDECK_CONFIG={shlex.quote(str(self.place.config))}")
        self.say(f'  export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
        self.say("  ondeck history 968654552_H1             every step of a run, by whom, and why")
        self.say("  ondeck start; ondeck status             the daemons again")
        self.say("  ResetJob 968654552_H1 spectrum; listdb  look for its lines once more")
        self.say("  ondeck stop")
        self.say(f"  rm -r {shlex.quote(shown(folder))}")

    def command(self, name: str, *arguments: str, quiet: bool = False) -> None:
        """Show a command, run it, and print what it says."""
        self.say(f"\n$ {self.commands.shown(name, *arguments)}")
        text = self.commands(name, *arguments).strip("\n")
        if text and not quiet:
            self.say(text)

    def heading(self, text: str) -> None:
        """Print a line that stands out."""
        self.console.print(f"\n[bold]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def shown(path: Path) -> str:
    """A path as seen from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def interrupt(number: int, _: FrameType | None) -> None:
    """Handle a signal: the first one ends the demo, more of them change nothing."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)


def listed(processes: list[Process]) -> str:
    """Processes in one line."""
    return "; ".join(f"{one.pid} {one.command}" for one in processes)


def main() -> int:
    """Run the demo; the answer is the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), metavar="FOLDER",
        help="where the demo makes a folder for itself, 1, 2 and so on (demo-output)",
    )  # fmt: skip
    parser.add_argument(
        "--limit",
        type=float,
        default=140.0,
        metavar="SECONDS",
        help="longest time from the first run to the archive (140)",
    )
    options = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(no_color=not sys.stdout.isatty())
    handler: Callable[[int, FrameType | None], None] = interrupt
    for number in SIGNALS:
        signal.signal(number, handler)
    try:
        Demo(make(options.output, sys.executable), console, options.limit).run()
    except Interrupted as stop:
        print(f"demo: {stop}", file=sys.stderr)
        return 128 + stop.number
    except (DemoFailed, CommandFailed, ArchiveDiffers, ResultsDiffer, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
