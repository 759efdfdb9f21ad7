"""What will go is announced where it is used: code, settings, arguments of hooks; and `help()` shows fields."""

from __future__ import annotations

import dataclasses
import importlib.util
import pydoc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest

import taskkit
from taskkit import deprecated, setting
from taskkit.contracts import deprecation
from taskkit.plugins.discovery import HOOKS
from tests.conftest import Site
from tests.plugins.sources import declaring

GOING = deprecated(since="0.2", until="0.4", instead="another")


@pytest.fixture(autouse=True)
def untold() -> Iterator[None]:
    """As in a new process: nothing was warned of."""
    deprecation._told.clear()
    yield
    deprecation._told.clear()


@GOING
def older(number: int) -> int:
    """Add one."""
    return number + 1


@GOING
class Older:
    """A class."""

    @GOING
    def method(self) -> str:
        """Say so."""
        return "said"


class Younger(Older):
    """A class of somebody else."""


@pytest.mark.parametrize(("call", "what"), [(lambda: older(1), "older"), (Older, "Older"), (Younger, "Older")])
def test_what_is_called_warns_once_a_process_and_works(call: Callable[[], object], what: str) -> None:
    said = rf"{what} is deprecated since 0\.2 and goes with 0\.4\. Use another\."
    with pytest.warns(FutureWarning, match=said) as warned:
        _ = call(), call()
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_a_method_warns_and_what_is_deprecated_is_as_it_was() -> None:
    with pytest.warns(FutureWarning):
        one = Older()
    with pytest.warns(FutureWarning, match=r"Older\.method is deprecated"):
        assert one.method() == "said"
    with pytest.warns(FutureWarning):
        assert (older.__name__, older.__doc__, older(2)) == ("older", "Add one.", 3)
    assert older.__deprecated__ == "older is deprecated since 0.2 and goes with 0.4. Use another."


def test_the_warning_is_seen_by_who_runs_a_script(tmp_path: Path) -> None:
    script = "from taskkit import deprecated\n@deprecated('0.2', '0.4', 'another')\ndef f(): ...\nf()\nf()\n"
    (tmp_path / "script.py").write_text(script)
    ended = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True)
    assert ended.stderr.count("FutureWarning: f is deprecated since 0.2 and goes with 0.4. Use another.") == 1


def test_a_hooks_argument_that_goes_is_told_to_a_plugin_that_takes_it() -> None:
    class Specs:
        @pluggy.HookspecMarker("t")(warn_on_impl_args={"old": GOING.warning("the argument old of hook")})
        def hook(self, old: object, new: object) -> None: ...

    class Plugin:
        @pluggy.HookimplMarker("t")
        def hook(self, old: object) -> None: ...

    manager = pluggy.PluginManager("t")
    manager.add_hookspecs(Specs)
    with pytest.warns(FutureWarning, match="the argument old of hook is deprecated since 0.2"):
        manager.register(Plugin())


SECTION = """\
from dataclasses import dataclass, field
from taskkit import deprecated, setting

@dataclass
class Layer:
    size: int = setting(8, "units", deprecated=deprecated("0.1", "0.3", "sizes"))

@dataclass
class Net:
    width: int = setting(8, "units", deprecated=deprecated("0.1", "0.3", "layer.size"))
    layer: Layer = field(default_factory=Layer)
"""


def test_a_recipe_that_gives_a_deprecated_setting_is_told_where(
    site: Site, points: Path, taskkit: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    facts = {"input": "'taskkit_points.sections:Points'", "targets": "('taskkit:Classes',)"}
    files = {"old.py": declaring("old.net", section="'old_sections:Net'", **facts), "old_sections.py": SECTION}
    site.add("taskkit-old", {"old": "old"}, files)
    recipe = tmp_path / "old.yaml"
    base = "task: {name: points.classification}\ndata: {name: points.moons}\ntrainer: {max_epochs: 1}\n"
    plugins = {"sites": (points,), "TASKKIT_PLUGINS": "old,points"}
    recipe.write_text(f"{base}model: {{name: old.net, width: 16}}\n")
    told = taskkit("check", str(recipe), "model.layer.size=4", **plugins)
    assert told.returncode == 0, told.stderr
    assert f"{recipe}:4:24: model.width is deprecated since 0.1 and goes with 0.3. Use layer.size." in told.stderr
    assert "override 'model.layer.size=4': model.layer.size is deprecated since 0.1" in told.stderr
    recipe.write_text(f"{base}model: {{name: old.net}}\n")
    assert "deprecated" not in taskkit("check", str(recipe), **plugins).stderr
    assert "units (deprecated since 0.1: use layer.size)" in taskkit("show", "old.net", **plugins).stdout


@dataclasses.dataclass
class Shown:
    """A section."""

    width: int = setting(8, "hidden units")
    depth: int = 2
    """How many layers."""
    plain: str = ""


def test_help_shows_the_fields_of_public_dataclasses() -> None:
    for name in taskkit.__all__:
        public = getattr(taskkit, name)
        if isinstance(public, type) and dataclasses.is_dataclass(public) and dataclasses.fields(public):
            shown = pydoc.plain(pydoc.render_doc(public))
            assert [field.name for field in dataclasses.fields(public) if f"  {field.name}: " not in shown] == [], name
    component = pydoc.plain(pydoc.render_doc(taskkit.Component))
    assert "The dataclass of its settings in a recipe." in component
    assert "share of each target spread over all classes" in pydoc.plain(
        pydoc.render_doc(taskkit.ClassificationSection)
    )


def test_fields_are_shown_with_what_stands_under_them_or_in_their_setting() -> None:
    from taskkit.described import described

    doc = described(Shown).__doc__
    fields = ["    width: int", "        hidden units", "    depth: int", "        How many layers.", "    plain: str"]
    assert str(doc).splitlines() == ["A section.", "", "Fields:", *fields]


@pytest.fixture
def generate() -> Any:
    """What makes the pages of the reference."""
    spec = importlib.util.spec_from_file_location("generate", Path(__file__).parents[2] / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_hooks_has_the_signature_and_an_example_of_each(generate: Any) -> None:
    page = "\n".join(generate.hooks())
    assert "taskkit_callbacks(recipe: Recipe) -> Iterable[Callback]" in page
    for name in HOOKS:
        assert f"## {name}\n" in page
        assert f"@hookimpl\ndef {name}(" in page


def test_the_page_of_deprecations_has_what_is_marked(generate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert generate.announced() == {}
    monkeypatch.setattr(taskkit.by_share, "__deprecation__", GOING, raising=False)
    monkeypatch.setattr(taskkit.Model.blocks, "__deprecation__", GOING, raising=False)
    monkeypatch.setitem(generate.SECTIONS, "old", Net)
    assert generate.announced() == {"by_share": GOING, "Model.blocks": GOING, "old.width": GOING}
    assert "| `by_share` | 0.2 | 0.4 | another |" in list(generate.deprecations())


@dataclasses.dataclass
class Net:
    """A section."""

    width: int = setting(8, "units", deprecated=GOING)
