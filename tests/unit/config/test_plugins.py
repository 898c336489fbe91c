from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from ondeck.config import Wrong, plugins
from ondeck.config.section import Section


def test_a_plain_clone_knows_its_own(
    real_plugins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup.cfg").write_text(
        "[options.entry_points]\nondeck.batch =\n    one = json:JSONDecoder\n    two=no_such_module:X\n\n"
        "other =\n    x = y:z\n"
    )
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())
    assert set(plugins.names("ondeck.batch")) == {"one", "two"}
    assert plugins.find("ondeck.batch", "one").__name__ == "JSONDecoder"
    with pytest.raises(Wrong, match="no_such_module:X can't be loaded: ModuleNotFoundError"):
        plugins.find("ondeck.batch", "two")
    with pytest.raises(Wrong, match=r'no such plug-in; it can be one of "one", "two"'):
        plugins.find("ondeck.batch", "slurm")
    assert plugins.names("ondeck.sinks") == {}
    monkeypatch.setattr(plugins, "ROOT", tmp_path / "gone")
    with pytest.raises(Wrong, match="no such plug-in; there is none yet"):
        plugins.find("ondeck.batch", "slurm")


def test_installed_packages_add_theirs(
    real_plugins: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup.cfg").write_text("[options.entry_points]\nondeck.batch =\n    one = a:b\n")
    point = metadata.EntryPoint("mine", "json:JSONEncoder", "ondeck.batch")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: (point,))
    assert set(plugins.names("ondeck.batch")) == {"one", "mine"}
    assert plugins.find("ondeck.batch", "mine").__name__ == "JSONEncoder"


def test_a_class_without_options_has_no_keys() -> None:
    assert plugins.options_model(int).model_fields == {}
    assert issubclass(plugins.options_model(int), Section)


@pytest.mark.parametrize(
    ("group", "name"), [("ondeck.batch", "local"), ("ondeck.sources", "directory"), ("ondeck.sinks", "mail")]
)
def test_the_real_ones_declare_their_keys(real_plugins: None, group: str, name: str) -> None:
    model = plugins.options_model(plugins.find(group, name))
    for key, field in model.model_fields.items():
        assert field.description, f"{group} {name}: {key} has no description"
