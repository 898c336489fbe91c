"""Job options from templates: names from outside arrive whole and never become commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ondeck.sites.render import NoTemplate, Renderer, TemplateError, render
from ondeck.sites.shellvalues import Misplaced, Values

HOSTILE = [
    "x; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb\ntouch pwned\n",
    'it\'s "quoted" \\ and $HOME ${PATH}',
    "'; touch pwned; '",
    '"; touch pwned; "',
    "",
    " ",
    "*",
    "~",
    "H1–Größe ∑ 日本",
    "A=b",
    "EOF\ntouch pwned",
    "\x02:0\x03",
    "byte \udcff",
]
SHELLS = ["dash", "bash"]


def say(tmp_path: Path, template: str, value: object, shell: str = "dash") -> str:
    """What the rendered template prints; it must not have touched anything."""
    folder = tmp_path / "templates"
    folder.mkdir(exist_ok=True)
    (folder / "t.sh").write_text(template)
    script = tmp_path / "script"
    script.write_bytes(render("t.sh", {"run": {"name": value}}, [folder]).encode("utf-8", "surrogateescape"))
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run([shell, str(script)], cwd=home, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert not list(home.iterdir())
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "template",
    [
        "printf %s {{ run.name }}",
        'printf %s "{{ run.name }}"',
        "#!/bin/sh\n# {{ run.name }}\nprintf %s {{ run.name }}  # {{ run.name }}\n",
        'x=$(printf %s. {{ run.name }}); printf %s "${x%.}"',
        'x="$(printf %s. "{{ run.name }}")"; printf %s "${x%.}"',
        "f() { printf %s {{ run.name }}; }\nf",
        "echo '#' \"it's\" >/dev/null; printf %s {{ run.name }}",
        "case a in a) printf %s {{ run.name }} ;; esac",
        'cat >/dev/null <<EOF\n"it\'s" {{ run.name }}\nEOF\nprintf %s {{ run.name }}',
        "{% macro say(x) %}printf %s {{ x }}{% endmacro %}{{ say(run.name)|raw }}",
        "{% set x %}{{ run.name }}{% endset %}printf %s {{ x }}",
        "printf %s {{ run.name|sh }}",
    ],
)
def test_hostile_values_arrive_whole(tmp_path: Path, template: str, value: str, shell: str) -> None:
    assert say(tmp_path, template, value, shell) == value


@pytest.mark.parametrize("value", [v for v in HOSTILE if v.strip()])
def test_a_here_document_takes_values(tmp_path: Path, value: str) -> None:
    assert say(tmp_path, "cat <<-EOF\n\t[{{ run.name }}]\n\tEOF\necho after\n", value) == f"[{value}]\nafter\n"


def test_a_megabyte(tmp_path: Path) -> None:
    value = "x; touch pwned ∑'\n" * 60_000
    assert say(tmp_path, "printf '%s' {{ run.name }}", value) == value


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_any_value_arrives_whole(tmp_path: Path, value: str) -> None:
    template = 'printf %s {{ run.name }}; printf %s "{{ run.name }}"'
    assert say(tmp_path, template, value) == value * 2


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["'", '"', "`", "$(", ")", "${x:-", "}", "\\", "#", "\n", " ", "a", "\x00", "<<E", "E"])),
    st.sampled_from([v for v in HOSTILE if "pwned" in v]),
)
def test_no_template_however_odd_runs_a_value(tmp_path: Path, pieces: list[str], value: str) -> None:
    """The value stands in a random script: it may be refused or come out wrong, but not be run."""
    values = Values("n0")
    text = "".join(values.mark(value) if piece == "\x00" else piece for piece in [*pieces, "\x00"])
    try:
        text = values.placed(text)
    except Misplaced:
        return
    script = tmp_path / "odd.sh"
    script.write_bytes(text.encode("utf-8", "surrogateescape"))
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    for shell in SHELLS:
        subprocess.run([shell, str(script)], cwd=home, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        assert not (home / "pwned").exists()


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("\n\nawk '{ print {{ run.name }} }'", 3),
        ("echo\ncat <<'EOF'\n{{ run.name }}\nEOF\n", 3),
        ("echo $(( {{ run.name }} + 1 ))", 1),
    ],
)
def test_where_no_value_can_stand_it_is_refused(tmp_path: Path, template: str, line: int) -> None:
    (tmp_path / "t.sh").write_text(template)
    with pytest.raises(TemplateError, match=rf"t\.sh, line {line}: a value"):
        render("t.sh", {"run": {"name": "a b"}}, [tmp_path])
    assert "152254" in render("t.sh", {"run": {"name": 152254}}, [tmp_path])


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.sh").write_text("#!/bin/sh\n{% if true %}\necho {{ run.nmae }}\n{% endif %}\n")
    (tmp_path / "t.json").write_text("{{ nothing }}")
    with pytest.raises(TemplateError, match=r"t\.sh, line 3: 'nmae' is not there .*did you mean \"name\""):
        render("t.sh", {"run": {"name": "r1", "number": 1}}, [tmp_path])
    with pytest.raises(TemplateError, match=r"t\.json, line 1: 'nothing' is undefined"):
        render("t.json", {}, [tmp_path])


def test_what_else_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "syntax.sh").write_text("echo\n{% if %}\n")
    (tmp_path / "none.sh").write_text("echo\necho {{ run.start }}\n")
    (tmp_path / "zero.sh").write_text("\n\n\n{{ 1 // 0 }}")
    (tmp_path / "upper.sh").write_text("{% filter upper %}{{ x }}{% endfilter %}")
    with pytest.raises(TemplateError, match=r"syntax\.sh, line 2"):
        render("syntax.sh", {}, [tmp_path])
    with pytest.raises(TemplateError, match=r"none\.sh, line 2: a value is None"):
        render("none.sh", {"run": {"start": None}}, [tmp_path])
    with pytest.raises(TemplateError, match=r"zero\.sh, line 4: ZeroDivisionError"):
        render("zero.sh", {}, [tmp_path])
    with pytest.raises(TemplateError, match="a filter was applied"):
        render("upper.sh", {"x": "a b"}, [tmp_path])
    with pytest.raises(NoTemplate, match=r"'no\.sh' in .*templates/job"):
        render("no.sh", {}, [tmp_path])
    with pytest.raises(NoTemplate):
        render("../../setup.cfg", {}, [tmp_path])


def test_the_first_folder_wins_and_then_ours(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "t.py").write_text("b = {{ x }}")
    renderer = Renderer([tmp_path / "a", tmp_path / "b"])
    assert renderer.render("t.py", {"x": "it's"}) == "b = it's"
    (tmp_path / "a" / "t.py").write_text("a = {{ x|tojson }}")
    assert renderer.render("t.py", {"x": 'it"s'}) == 'a = "it\\"s"'
    assert "checksums.txt" in renderer.render("checksums.sh", {"input": "/data/run 1"})


@pytest.mark.parametrize("shell", SHELLS)
def test_the_checksums_job(tmp_path: Path, shell: str) -> None:
    run, output = tmp_path / "run; x", tmp_path / "out put"
    (run / "sub dir").mkdir(parents=True)
    output.mkdir()
    (run / "a.dat").write_bytes(b"abc")
    (run / "sub dir" / "new\nline").write_bytes(b"")
    script = render("checksums.sh", {"input": str(run)})
    env = {"ONDECK_OUTPUT": str(output), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([shell, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    lines = (output / "checksums.txt").read_text().splitlines()
    assert [p.name for p in output.iterdir()] == ["checksums.txt"]
    assert lines[0].split() == [
        "3",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "./a.dat",
    ]
    assert lines[1].startswith("\\")
    assert lines[1].split(maxsplit=3)[3] == "./sub dir/new\\nline"
    missing = render("checksums.sh", {"input": str(tmp_path / "none")})
    assert subprocess.run([shell, "-c", missing], env=env, capture_output=True, check=False).returncode != 0
