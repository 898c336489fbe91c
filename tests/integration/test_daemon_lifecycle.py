"""Daemons as real processes: started, killed, stopped, overtaken; on both kinds of database where it matters."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update
from support.daemonlab import DaemonLab, alive, children, until

from ondeck.daemons.identity import Identity, boot_id, me, stat
from ondeck.db.clock import now
from ondeck.db.engine import Database
from ondeck.db.models import Run
from ondeck.db.tables import DaemonBeat


@pytest.fixture
def lab(tmp_path: Path, sqlite_url: str) -> Iterator[DaemonLab]:
    made = DaemonLab(tmp_path / "lab", sqlite_url)
    yield made
    made.clean_up()


@pytest.fixture
def either_lab(tmp_path: Path, db_url: str) -> Iterator[DaemonLab]:
    """On each kind of database."""
    made = DaemonLab(tmp_path / "lab", db_url)
    yield made
    made.clean_up()


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """The lab's database, opened."""
    name = "either_lab" if "either_lab" in request.fixturenames else "lab"
    opened = Database(request.getfixturevalue(name).url)
    yield opened
    opened.dispose()


def row(db: Database, name: str = "Transfer") -> DaemonBeat:
    with db.read() as session:
        return session.scalars(select(DaemonBeat).where(DaemonBeat.name == name)).one()


def add_run(db: Database, name: str = "r1") -> None:
    with db.write() as session:
        session.execute(insert(Run).values(name=name, status="acquired"))


def the_run(db: Database) -> Run:
    with db.read() as session:
        return session.scalars(select(Run)).one()


def sleeping(pid: int) -> Callable[[], int | None]:
    return lambda: next(iter(children(pid, "sleep")), None)


def test_a_daemon_is_a_session_of_its_own_and_says_so_in_its_row(either_lab: DaemonLab, db: Database) -> None:
    pid = either_lab.start()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, group, session, terminal = (int(fields[i]) for i in (1, 2, 3, 4))
    assert (group, terminal) == (session, 0)
    assert session not in (pid, os.getsid(0))  # not even its leader: it can never get a terminal
    assert parent != os.getpid()
    assert Path(f"/proc/{pid}/comm").read_text() == "Transfer\n"
    shown = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert shown.rstrip(b"\0") == b"\0".join([b"Transfer", b"--config", os.fsencode(either_lab.config)])
    assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    for number, name in ((1, "out"), (2, "err")):
        assert Path(f"/proc/{pid}/fd/{number}").resolve() == either_lab.state / "logs" / f"Transfer.{name}"
    assert "\nUmask:\t0027\n" in Path(f"/proc/{pid}/status").read_text()
    assert either_lab.pid_file().stat().st_mode & 0o777 == 0o640

    seen = stat(pid)
    assert seen is not None
    beat = row(db)
    assert (beat.pid, beat.host, beat.boot_id, beat.start_ticks) == (
        pid,
        socket.gethostname(),
        boot_id(),
        seen.start_ticks,
    )
    assert beat.state_dir == str(either_lab.state)
    assert beat.stopped_at is None
    first = beat.beat_at
    until(lambda: row(db).beat_at > first)
    until(lambda: row(db).lanes["good"]["last_step"])
    assert either_lab.run("Transfer", "status")[0] == 0

    code, said = either_lab.run("Transfer", "stop")
    assert (code, said) == (0, f"Transfer stopped, pid {pid}\n")
    assert not alive(pid)
    assert not either_lab.pid_file().exists()
    assert row(db).stopped_at is not None
    assert either_lab.beat()["stopped_at"]
    assert either_lab.run("Transfer", "status")[0] == 3


def test_a_vanished_pid_file_is_no_obstacle(lab: DaemonLab) -> None:
    lab.write("good", beat=60)
    pid = lab.start()
    lab.pid_file().unlink()
    code, said = lab.run("Transfer", "start")
    assert (code, said) == (1, f"Transfer is already running: pid {pid}\n")
    until(lambda: lab.processes() == [pid])
    assert lab.run("Transfer", "stop") == (0, f"Transfer stopped, pid {pid}\n")
    assert not alive(pid)


def test_the_row_alone_finds_the_daemon(either_lab: DaemonLab) -> None:
    either_lab.write("good", beat=60)
    pid = either_lab.start()
    either_lab.pid_file().unlink()
    (either_lab.state / "run/Transfer.beat").unlink()
    code, said = either_lab.run("Transfer", "start")
    assert code == 1
    assert f"Transfer is already running: pid {pid}" in said
    until(lambda: either_lab.processes() == [pid])
    assert not either_lab.pid_file().exists()  # the one that did not start left nothing
    assert either_lab.run("Transfer", "stop") == (0, f"Transfer stopped, pid {pid}\n")
    assert not alive(pid)


def test_a_vanished_pid_file_is_made_again(lab: DaemonLab) -> None:
    pid = lab.start()
    before = lab.pid_file().read_text()
    lab.pid_file().unlink()
    until(lambda: lab.pid_file().exists() and lab.pid_file().read_text() == before)  # made, and then written
    lab.pid_file().unlink()
    lab.pid_file().write_text("nonsense")
    lab.run("Transfer", "stop")
    assert not alive(pid)


def test_of_two_that_start_at_once_one_wins(either_lab: DaemonLab) -> None:
    starts = [either_lab.popen("Transfer", "start") for _ in range(3)]
    ended = [(process.communicate(timeout=60)[0], process.returncode) for process in starts]
    assert sorted(code for _, code in ended) == [0, 1, 1], ended
    assert all("already running" in said for said, code in ended if code)
    until(lambda: len(either_lab.processes()) == 1)


def test_start_after_kill_minus_nine(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("child", beat=60, lease=600)
    add_run(db)
    pid = either_lab.start()
    child = until(sleeping(pid))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(child), 5)  # the children die with it
    until(lambda: not alive(pid))
    assert either_lab.run("Transfer", "status")[0] == 3
    run = the_run(db)
    assert run.status == "transferring"
    assert run.leased_by == f"Transfer@{socket.gethostname()}:{pid}"
    again = either_lab.start()
    assert again != pid
    run = the_run(db)
    assert run.lease_until is None  # at once, not after 600 s
    assert f"holder=Transfer@{socket.gethostname()}:{pid} rows=1" in either_lab.log()


def test_a_reused_pid_is_never_killed(lab: DaemonLab) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        lab.pid_file().parent.mkdir(parents=True)
        seen = stat(stranger.pid)
        assert seen is not None
        old = Identity(stranger.pid, socket.gethostname(), boot_id(), seen.start_ticks - 1)
        text_of = "\n".join(map(str, old)) + "\n"
        lab.pid_file().write_text(text_of)
        assert lab.run("Transfer", "status")[0] == 3
        assert lab.run("Transfer", "stop") == (0, "Transfer is not running\n")
        assert not lab.pid_file().exists()
        lab.pid_file().write_text(text_of)
        pid = lab.start()
        assert lab.pid_file().read_text().startswith(f"{pid}\n")
        assert stranger.poll() is None
        stranger.kill()


def test_a_pid_file_of_another_boot_is_stale(lab: DaemonLab) -> None:
    lab.pid_file().parent.mkdir(parents=True)
    lab.pid_file().write_text("\n".join(map(str, me()._replace(boot_id="an older one"))) + "\n")
    assert lab.run("Transfer", "stop")[0] == 0
    lab.start()


def test_a_pid_file_of_another_host_is_respected(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("good", beat=60)  # so that a row that is fresh stays so while a slow machine starts a process
    far = me()._replace(host="farhost")
    either_lab.pid_file().parent.mkdir(parents=True)
    either_lab.pid_file().write_text("\n".join(map(str, far)) + "\n")
    code, said = either_lab.run("Transfer", "start")
    assert code == 1
    assert f"Transfer runs on farhost (pid {far.pid}" in said
    code, said = either_lab.run("Transfer", "stop")
    assert code == 1
    assert "runs on farhost" in said
    assert either_lab.pid_file().exists()
    until(lambda: either_lab.processes() == [])

    values: dict[str, Any] = {
        **far._asdict(),
        "name": "Transfer",
        "state_dir": str(either_lab.state),
        "version": "",
        "config_hash": "",
    }
    with db.write() as session:
        session.execute(insert(DaemonBeat).values(**values, started_at=now(), beat_at=now()))
    code, said = either_lab.run("Transfer", "start")
    assert code == 1
    assert "farhost" in said
    with db.write() as session:  # its last beat is long ago: it is gone
        long_ago = "now() - interval '1 hour'" if db.dialect == "postgresql" else "'2001-01-01 00:00:00.000000'"
        session.execute(text(f"UPDATE daemons SET beat_at = {long_ago}"))
    pid = either_lab.start()
    assert either_lab.pid_file().read_text().startswith(f"{pid}\n")


def test_take_over(lab: DaemonLab) -> None:
    lab.pid_file().parent.mkdir(parents=True)
    lab.pid_file().write_text("\n".join(map(str, me()._replace(host="farhost"))) + "\n")
    code, said = lab.run("Transfer", "start", "--take-over")
    assert code == 0, said


def test_term_breaks_work_off_and_gives_the_row_back(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("child", interval=60)
    add_run(db)
    pid = either_lab.start()
    child = until(sleeping(pid))
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid), 5)
    assert not alive(child)
    run = the_run(db)
    assert (run.status, run.lease_until, run.reason) == ("acquired", None, "runs 1 was broken off: the daemon stops.")
    assert run.actor == f"Transfer@{socket.gethostname()}:{pid}"
    with db.read() as session:
        count = session.execute(text("SELECT count(*) FROM transitions WHERE table_name = 'runs'")).scalar_one()
    assert count == 3  # birth, transferring, acquired
    assert either_lab.beat()["highest"] == count


def test_leases_are_renewed_while_the_work_gets_on(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("child", lease=0.8)
    add_run(db)
    pid = either_lab.start()
    until(sleeping(pid))
    first = the_run(db)
    assert first.lease_until is not None
    time.sleep(2)
    later = the_run(db)
    assert later.lease_until is not None
    assert later.lease_until > first.lease_until
    assert later.epoch == first.epoch


def test_who_sleeps_past_his_lease_is_broken_off(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("child", lease=1, interval=60)
    add_run(db)
    pid = either_lab.start()
    child = until(sleeping(pid))
    os.kill(pid, signal.SIGSTOP)
    until(lambda: _expired(db))
    with db.write() as session:  # another takes it
        session.execute(update(Run).values(epoch=Run.epoch + 1, leased_by="Transfer@other:1", lease_until=None))
    os.kill(pid, signal.SIGCONT)
    until(lambda: not alive(child), 5)
    until(lambda: "child broken off" in either_lab.log())
    assert "given_back=0" in either_lab.log()
    assert "lease lost" in either_lab.log()
    run = the_run(db)
    assert (run.status, run.leased_by) == ("transferring", "Transfer@other:1")
    assert alive(pid)


def _expired(db: Database) -> bool:
    with db.read() as session:
        return session.scalar(select(Run.lease_until < now())) is True


def test_a_hanging_lane_delays_no_other(lab: DaemonLab) -> None:
    lab.write("good", "hang")
    pid = lab.start()
    count = len(lab.steps("good"))
    until(lambda: len(lab.steps("good")) >= count + 3)
    assert len(lab.steps("hang")) == 1
    lanes = until(lambda: lab.beat()["lanes"])
    assert time.time() - 60 < lanes["hang"]["step_since"] < time.time()
    assert "hang (at work)" in lab.run("Transfer", "status")[1]
    code, said = lab.run("Transfer", "stop", "--wait", "1")
    assert code == 0
    assert f"Transfer (pid {pid}) did not end within 1 s: killed\nTransfer stopped, pid {pid}\n" in said
    assert not alive(pid)
    assert not lab.pid_file().exists()


def test_a_hanging_lane_is_left_behind_at_the_end(lab: DaemonLab, db: Database) -> None:
    lab.write("good", "hang")
    pid = lab.start(TINY_PATIENCE="0.5")
    assert lab.run("Transfer", "stop") == (0, f"Transfer stopped, pid {pid}\n")
    assert "ERROR Transfer - - lanes did not end in time, the process ends without them lanes=hang" in lab.log()
    assert row(db).stopped_at is not None


def test_an_exception_never_ends_the_loop(lab: DaemonLab, db: Database) -> None:
    lab.write("good", "bad")
    pid = lab.start()
    until(lambda: len(lab.steps("bad")) >= 3)
    until(lambda: lab.beat()["lanes"]["bad"]["errors"] >= 3)
    assert alive(pid)
    log = lab.log()
    assert log.count("traceback=") == 1
    assert "hunter2" not in log
    assert len(lab.steps("good")) > len(lab.steps("bad"))
    until(lambda: (row(db).last_error or "").startswith("bad: RuntimeError: no luck with postgresql://me:***@db/x"))


def test_sighup_reads_the_configuration_again(lab: DaemonLab) -> None:
    lab.write("good", "child")
    pid = lab.start()
    until(lambda: lab.steps("child"))

    lab.config.write_text(lab.config.read_text() + "\n[nonsense]\n")
    os.kill(pid, signal.SIGHUP)
    until(lambda: lab.log().count("the configuration stays as it was") == 1)
    assert "nonsense" in lab.log()

    lab.write("good")  # live rows would use the lane that goes
    os.kill(pid, signal.SIGHUP)
    until(lambda: lab.log().count("the configuration stays as it was") == 2)
    assert 'why="the lane child is in use"' in lab.log()

    lab.write("good", "child", more='[sites.other]\ntransport = "local"\nwork = "work"', interval=0.7)
    os.kill(pid, signal.SIGHUP)
    until(lambda: lab.steps("other"))
    until(lambda: lab.steps("good")[-1].endswith(" 0.7"))
    until(lambda: set(lab.beat()["lanes"]) == {"good", "child", "other"})

    lab.write("good", "child", interval=0.7)
    os.kill(pid, signal.SIGHUP)
    until(lambda: set(lab.beat()["lanes"]) == {"good", "child"})
    count = len(lab.steps("other"))
    time.sleep(1)
    assert len(lab.steps("other")) == count

    lab.config.write_text('name = "another"\n' + lab.config.read_text())
    os.kill(pid, signal.SIGHUP)
    until(lambda: "name can't change while the daemon runs: restart it." in lab.log())
    assert lab.processes() == [pid]


def test_another_schema_stops_the_daemon(either_lab: DaemonLab, db: Database) -> None:
    pid = either_lab.start()
    with db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    until(lambda: not alive(pid))
    assert "has schema 9999, this version of ondeck needs" in either_lab.log()
    assert not either_lab.pid_file().exists()
    code, said = either_lab.run("Transfer", "start")
    assert code == 1
    assert "has schema 9999" in said
    assert "Traceback" not in said


def test_the_database_away_and_back(tmp_path: Path, postgresql_server: Any, postgresql_url: str) -> None:
    lab = DaemonLab(tmp_path / "lab", postgresql_url)
    try:
        pid = lab.start()
        postgresql_server.stop()
        until(lambda: lab.beat()["db"])
        at = lab.beat()["at"]
        until(lambda: lab.beat()["at"] > at)  # the local heart beats on
        assert alive(pid)
        count = len(lab.steps("good"))
        until(lambda: len(lab.steps("good")) > count)  # this lane needs no database
        lab.write("good", beat=0.3, interval=60)
        assert lab.run("Messenger", "start")[0] == 0  # a daemon may start before its database
        assert "Messenger - - can't beat in the database" in lab.log("Messenger")
        assert lab.steps("good")[-1].endswith(" 0.3")  # its lane waits for the database
        postgresql_server.start()
        until(lambda: not lab.beat()["db"])
        until(lambda: not lab.beat("Messenger")["db"])
        until(lambda: "the database answers again" in lab.log())
        until(lambda: any(line.endswith(" 60") for line in lab.steps("good")))
        assert lab.run("all", "stop", "Transfer", "Messenger")[0] == 0
    finally:
        postgresql_server.stop()
        postgresql_server.start()
        lab.clean_up()


def test_a_commit_wakes_a_lane(either_lab: DaemonLab, db: Database) -> None:
    either_lab.write("good", interval=600)
    either_lab.start()
    until(lambda: either_lab.steps("good"))
    time.sleep(0.5)
    count = len(either_lab.steps("good"))
    add_run(db)
    until(lambda: len(either_lab.steps("good")) > count, 3)
    time.sleep(1)  # heartbeats, probes are no steps: nobody is woken by them
    assert len(either_lab.steps("good")) <= count + 2


def test_if_dead_leaves_the_living_alone(either_lab: DaemonLab, db: Database) -> None:
    pid = either_lab.start()
    assert either_lab.run("Transfer", "restart", "--if-dead") == (0, "")
    (either_lab.state / "run/Transfer.beat").unlink()
    either_lab.pid_file().unlink()
    assert either_lab.run("Transfer", "restart", "--if-dead") == (0, "")
    assert either_lab.processes() == [pid]
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(DaemonBeat)) == 1


def test_if_dead_starts_the_dead_and_the_silent(lab: DaemonLab) -> None:
    first = lab.start()
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))
    code, said = lab.run("Transfer", "restart", "--if-dead")
    assert code == 0
    assert f"(pid {first}) had died, its last heartbeat was 0:00:" in said
    assert "it was started again" in said
    second = lab.pid()
    os.kill(second, signal.SIGSTOP)
    beat = lab.beat()
    beat["uptime"] -= 100
    (lab.state / "run/Transfer.beat").write_text(json.dumps(beat))
    assert lab.run("Transfer", "status")[0] == 3
    code, said = lab.run("Transfer", "restart", "--if-dead", "--wait", "3")
    assert f"(pid {second}) did not end within 3 s: killed" in said
    assert "had not beaten since 0:01:" in said
    assert not alive(second)
    assert code == 0  # the start is given more than those 3 s
    assert lab.pid() != second
    assert lab.processes() == [lab.pid()]
    assert lab.run("Transfer", "stop")[0] == 0
    code, said = lab.run("Transfer", "restart", "--if-dead")  # stopped in order: started, nobody has died
    assert (code, said) == (0, f"Transfer started, pid {lab.pid()}\n")


def test_a_moved_log_is_made_again(lab: DaemonLab) -> None:
    lab.write("bad")
    lab.start()
    path = lab.state / "logs/Transfer.log"
    path.rename(path.with_suffix(".old"))
    until(path.exists)
    assert "step fails" in path.read_text()


def test_no_second_daemon_in_the_foreground(lab: DaemonLab) -> None:
    pid = lab.start()
    for more in ([], ["--once"]):
        code, said = lab.run("Transfer", "foreground", *more)
        assert code == 1
        assert f"Transfer is already running: pid {pid}" in said
    assert lab.pid_file().exists()


def test_a_restored_database_is_noticed(lab: DaemonLab, db: Database) -> None:
    add_run(db)
    lab.start()
    until(lambda: lab.beat()["highest"] == 1)
    lab.run("Transfer", "stop")
    with db.write() as session:
        session.execute(text("DROP TABLE IF EXISTS kept"))
        for trigger in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            session.execute(text(f"DROP TRIGGER {trigger}"))
        session.execute(text("DELETE FROM transitions"))
    lab.start()
    beat = until(lambda: lab.beat() if lab.beat()["behind"] is not None else None)
    assert (beat["behind"], beat["highest"]) == (0, 1)
    assert "was a backup restored?" in lab.log()
