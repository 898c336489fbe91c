from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from support.rows import check_history, history, make_one, row, status

from ondeck.db.models import Run

from .conftest import Lab


def runs(lab: Lab) -> list[Run]:
    with lab.db.read() as session:
        return list(session.scalars(select(Run).order_by(Run.id)))


def test_add(lab: Lab) -> None:
    said = lab.good(
        "run", "add", "152254", "--type", "physics", "--events", "12", "--param", "beam=true", "--param", "energy=6.5",
        "--param", "shifter=Ada L.", "--param", "eq=a=b", "--param", 'list=[1,{"x":null}]',
    )  # fmt: skip
    assert said == "run 152254 of source daq was added\n"
    (run,) = runs(lab)
    assert (run.name, run.source, run.number, run.run_type, run.events, run.status) == (
        "152254", "daq", 152254, "physics", 12, "acquired",
    )  # fmt: skip
    assert run.params == {"beam": True, "energy": 6.5, "shifter": "Ada L.", "eq": "a=b", "list": [1, {"x": None}]}
    (birth,) = history(lab.db, "runs", run.id)
    assert birth.reason == "added"
    assert birth.actor != "by hand"


def test_the_same_again_does_no_harm(lab: Lab) -> None:
    words = ("run", "add", "r1", "--number", "5", "--param", "a=1")
    lab.good(*words)
    assert lab.good(*words) == "run r1 of source daq is there already (acquired)\n"
    assert lab.good("run", "add", "r1") == "run r1 of source daq is there already (acquired)\n"
    assert len(runs(lab)) == 1
    assert len(history(lab.db, "runs", runs(lab)[0].id)) == 1


def test_the_same_with_other_values_is_refused(lab: Lab) -> None:
    lab.good("run", "add", "r1", "--number", "5", "--param", "a=1")
    said = lab.bad("run", "add", "r1", "--number", "6", "--param", "a=2")
    assert "number 5 instead of 6" in said
    assert "parameter a 1 instead of 2" in said
    assert runs(lab)[0].number == 5


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", "a b", "a\nb", "x" * 201, "é", ".hidden", "a;b", "\udcff"])
def test_names_are_checked_at_the_door(lab: Lab, name: str) -> None:
    assert "can't be a run's name" in lab.bad("run", "add", "--", name)
    assert runs(lab) == []


def test_parameters_from_a_file(lab: Lab) -> None:
    (lab.folder / "p.json").write_text('{"number": 9, "run_type": "calibration", "events": 3, "x": 1}')
    (lab.folder / "p.toml").write_text("x = 2\n")
    lab.good("run", "add", "a", "--params", "p.json", "--param", "x=5")
    lab.good("run", "add", "b", "--params", "p.toml")
    lab.good("run", "add", "c", "--params", "-", input='{"x": 3}')
    a, b, c = runs(lab)
    assert (a.number, a.run_type, a.events, a.params["x"]) == (9, "calibration", 3, 5)
    assert (b.params, c.params) == ({"x": 2}, {"x": 3})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params", "none.json"], "none.json: can't be read: No such file"),
        (["--params", "bad.json"], "bad.json: "),
        (["--param", "novalue"], "write KEY=VALUE"),
        (["--param", "=x"], "write KEY=VALUE"),
        (["--param", "number=-3"], "a whole number from 0 is needed"),
        (["--param", 'x="\\u0000"'], "characters that are no text"),
        (["--param", "x=Infinity"], "--param"),
        (["--source", "dqa"], 'did you mean "daq"?'),
    ],
)
def test_bad_parameters_are_refused(lab: Lab, words: list[str], said: str) -> None:
    (lab.folder / "bad.json").write_text("{")
    assert said in lab.bad("run", "add", "r", *words)
    assert runs(lab) == []


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def floats(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_int=float)


@settings(
    max_examples=30,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=_JSON)
def test_any_parameter_is_kept_or_refused_in_one_line(lab: Lab, value: Any) -> None:
    name = f"r{len(runs(lab))}"
    result = lab.run("run", "add", name, "--param", f"x={json.dumps(value)}")
    if result.exit_code == 0:
        assert floats(runs(lab)[-1].params["x"]) == floats(value)
        assert "is there already" in lab.good("run", "add", name, "--param", f"x={json.dumps(value)}")
    else:
        assert len(result.stderr.splitlines()) == 1
        assert "no text" in result.stderr


def test_which_source(lab: Lab) -> None:
    text = lab.config.read_text()
    lab.write(text.replace("[sources.daq]", "[sources.only]"))
    assert "of source only" in lab.good("run", "add", "r")
    lab.write(text.replace("[sources.daq]", '[sources.two]\ntype = "directory"\nstorage = "disk"\n[sources.only]'))
    assert "has 2 sources and none is called daq" in lab.bad("run", "add", "r")


def test_a_row_of_the_daq(lab: Lab) -> None:
    """The INSERT that `ondeck run add --help` shows."""
    from sqlalchemy import text

    shown = lab.good("run", "add", "--help")
    (line,) = [line.strip() for line in shown.splitlines() if "INSERT" in line]
    with lab.db.write() as session:
        session.execute(text(line))
    assert (runs(lab)[0].name, runs(lab)[0].source) == ("152254", "daq")


def test_cancel_and_reset_runs(lab: Lab) -> None:
    one = make_one(lab.db, "runs", "acquired", name="a1")
    two = make_one(lab.db, "runs", "failed", name="a2", failed_from="acquired")
    lab.good("run", "cancel", "a1", "a2", "--reason", "pulser")
    assert {status(lab.db, "runs", i) for i in (one, two)} == {"cancelled"}
    assert history(lab.db, "runs", one)[-1].reason == "cancel: pulser"
    lab.good("run", "reset", "a*")
    assert {status(lab.db, "runs", i) for i in (one, two)} == {"acquired"}
    for i in (one, two):
        check_history(lab.db, "runs", i)
    assert "only a failed or cancelled run can be reset" in lab.bad("run", "reset", "a1")
    assert "There is no run 'b*'" in lab.bad("run", "reset", "b*")
    assert lab.run("run", "reset").exit_code == 2


def test_many_runs_need_a_yes(lab: Lab) -> None:
    ids = [make_one(lab.db, "runs", "failed", name=f"f{n}", failed_from="acquired") for n in range(12)]
    assert lab.run("run", "reset", "f*").exit_code == 1
    assert {status(lab.db, "runs", i) for i in ids} == {"failed"}
    lab.good("run", "reset", "f*", "--yes")
    assert {status(lab.db, "runs", i) for i in ids} == {"acquired"}


def test_comment_and_tag(lab: Lab) -> None:
    one = make_one(lab.db, "runs", "archived", name="r")
    lab.good("run", "comment", "r", "beam lost")
    lab.good("run", "comment", "r", "and\nback")
    lab.good("run", "tag", "r", "--add", "golden", "--add", "x")
    lab.good("run", "tag", "r", "--remove", "x")
    run = row(lab.db, "runs", one)
    assert run.comments.splitlines() == ["beam lost", "and back"]
    assert run.tags == ["golden"]
    assert run.status == "archived"
    check_history(lab.db, "runs", one)
    assert lab.run("run", "tag", "r").exit_code == 2
