"""Discovery against distributions that are really installed: no bad one breaks the list or a good one."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

import taskkit as taskkit_names
from taskkit.contracts.component import Component, load
from taskkit.contracts.hookspecs import hookimpl
from taskkit.errors import PluginError
from taskkit.plugins.compatibility import fits
from taskkit.plugins.discovery import Plugins, discover, from_environment
from taskkit.plugins.index import install_advice
from taskkit.wording import TELL_AUTHORS
from tests.plugins.sources import IMPORTS, declaring, hooked


@dataclass
class Bad:
    """A plugin with which one thing is wrong, and what must be said of it."""

    source: str
    stage: str
    said: str
    hint: str = "pip uninstall taskkit-bad"
    target: str = "bad_plugin"
    modules: dict[str, str] = field(default_factory=dict)


BAD = {
    "needs a package that is missing": Bad(
        "import torchaudio_of_old.io",
        "load",
        "No module named 'torchaudio_of_old'",
        "Install the distribution that brings the module 'torchaudio_of_old'.",
    ),
    "needs a part that an installed package lacks": Bad(
        "import taskkit.future", "load", "No module named 'taskkit.future'"
    ),
    "is not in its own wheel": Bad(
        "",
        "load",
        "its module 'bad_elsewhere' is missing",
        "Install it again: pip install --force-reinstall taskkit-bad",
        target="bad_elsewhere.plugin",
    ),
    "lacks the object of its entry point": Bad("", "load", "AttributeError", target="bad_plugin:nothing"),
    "is no Python": Bad("def (", "load", "SyntaxError: invalid syntax (bad_plugin.py, line 1)"),
    "imports torch": Bad(
        f"import torch\n{hooked('[]')}",
        "load",
        "bad_plugin imports torch, for which every command would wait",
        "belongs into modules that its components name as text",
    ),
    "leaves when it is imported": Bad("import sys\nsys.exit(3)", "load", "SystemExit: 3"),
    "has a hook of another signature": Bad(
        f"{IMPORTS}\n@hookimpl\ndef taskkit_callbacks(recipes):\n    return []\n",
        "register",
        "Argument(s) {'recipes'}",
    ),
    "misspells a hook": Bad(
        hooked("[]", "taskkit_componets"),
        "hooks",
        "taskkit_componets is not a hook",
        "Did you mean 'taskkit_components'?",
    ),
    "forgets to mark a hook": Bad(
        "def taskkit_components():\n    return []\n",
        "hooks",
        "taskkit_components is not marked",
        "@taskkit.hookimpl",
    ),
    "is not a plugin": Bad("answer = 42", "hooks", "bad_plugin is not a plugin"),
    "is a number": Bad("answer = 42", "hooks", "int is not a plugin", target="bad_plugin:answer"),
    "is made for another API": Bad(
        f"taskkit_api = '>=7'\n{declaring('bad.model')}",
        "api",
        "it needs taskkit API '>=7', this is 0.2",
        "taskkit-ml",
    ),
    "is an object in a module made for another API": Bad(
        "class Plugin: pass\nplugin = Plugin()\ntaskkit_api = '>=7'",
        "api",
        "'>=7'",
        "taskkit-ml",
        "bad_plugin:plugin",
    ),
    "states no range of APIs": Bad("taskkit_api = 'latest'", "api", "expected a range such as '>=0.2,<0.3'"),
    "raises in a hook": Bad(hooked("1 / 0"), "call", "taskkit_components: ZeroDivisionError: division by zero"),
    "leaves in a hook": Bad(hooked("exit(1)"), "call", "taskkit_components: SystemExit: 1"),
    "raises while it lists": Bad(hooked("(1 / n for n in (1, 0))"), "call", "ZeroDivisionError"),
    "returns nothing": Bad(hooked("None"), "call", "taskkit_components returned None, expected an iterable"),
    "returns a word": Bad(hooked("'image.vit'"), "call", "returned 'image.vit', expected an iterable"),
    "returns words": Bad(hooked("['image.vit']"), "call", "gave 'image.vit', expected Components"),
    "names a component without its modality": Bad(declaring("vit"), "call", "name 'vit', expected `modality.name`"),
    "declares an unknown kind": Bad(declaring("bad.m", kind="'modle'"), "call", "kind 'modle', expected one of task"),
    "summarises with escape codes": Bad(declaring("bad.m", summary="'\\x1b[31m'"), "call", "expected one line of text"),
    "gives a class for its import path": Bad(
        declaring("bad.m", section="int"), "call", "section <class 'int'>, expected"
    ),
    "gives one target for a tuple": Bad(
        declaring("bad.m", targets="'taskkit:Classes'"),
        "call",
        "expected a tuple of `package.module:Name`",
    ),
    "declares a task that judges nothing": Bad(declaring("bad.m", kind="'task'"), "call", "expected the one that"),
    "declares the metrics of a model": Bad(
        declaring("bad.m", metrics="{'accuracy': 'max'}"),
        "call",
        "metrics accuracy, expected none: a task declares them",
    ),
    "declares metrics without their directions": Bad(
        declaring("bad.t", kind="'task'", targets="('taskkit:Classes',)", metrics="['wer']"),
        "call",
        "metrics ['wer'], expected a mapping such as {'accuracy': 'max'}",
    ),
    "declares a direction that is none": Bad(
        declaring("bad.t", kind="'task'", targets="('taskkit:Classes',)", metrics="{'wer': 'lower'}"),
        "call",
        "direction 'lower' of the metric 'wer', expected 'max' or 'min'",
    ),
    "declares the metrics of a split": Bad(
        declaring("bad.t", kind="'task'", targets="('taskkit:Classes',)", metrics="{'val/wer': 'min'}"),
        "call",
        "metric 'val/wer', expected a name without its split",
    ),
    "names one entry point twice": Bad(
        declaring("bad.m"),
        "clash",
        "it declares the entry point 'bad' twice",
        "Its authors must rename one of them. Until then, try another version of it.",
        target="bad_plugin\nbad = bad_elsewhere",
    ),
    "ships a recipe that is not there": Bad(
        hooked("[RecipeFile('r', __import__('pathlib').Path('/no/r.yaml'))]", "taskkit_recipes"),
        "call",
        "/no/r.yaml",
    ),
    "adds a function for a command": Bad(hooked("[print]", "taskkit_commands"), "call", "expected click Commands"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_plugin_is_reported_and_a_good_one_beside_it_works_when_it(bad, site, sound_site, taskkit):
    site.add("taskkit-bad", {"bad": bad.target}, {"bad_plugin.py": bad.source})
    listed = taskkit("list", "--json", sites=(site.path, sound_site))
    assert listed.returncode == 0, listed.stderr
    sections = json.loads(listed.stdout)
    plugins = {plugin["name"]: plugin for plugin in sections["plugins"]}
    assert plugins["sound"]["status"] == "ok"
    assert "sound.tone" in [model["name"] for model in sections["models"]]
    found = plugins["bad"]
    assert (found["distribution"], found["version"], found["status"]) == ("taskkit-bad", "0.1", "broken")
    assert found["stage"] == bad.stage
    assert bad.said in found["reason"]
    assert bad.hint in found["hint"]


AUTHORS = {
    "an entry point that names no module of theirs": (
        {"mine.py": ""},
        "mine_plugin",
        "its module 'mine_plugin' is missing",
        "Its entry point names mine_plugin: mend that, or the module's name, and install it again: "
        "pip install -e /home/me/mine",
    ),
    "a module of their own that they misspell": (
        {"mine/__init__.py": "", "mine/plugin.py": "import mine.sectons", "mine/sections.py": ""},
        "mine.plugin",
        "ModuleNotFoundError: No module named 'mine.sectons', in plugin.py, line 1",
        "Mend it in /home/me/mine.",
    ),
    "what a module of theirs raises": (
        {"mine/__init__.py": "", "mine/plugin.py": "\nfrom mine import more", "mine/more.py": "\n\nint('x')"},
        "mine.plugin",
        "ValueError: invalid literal for int() with base 10: 'x', in more.py, line 3",
        "Mend it in /home/me/mine.",
    ),
    "what a library raises in words of its own": (
        {"mine.py": "raise ImportError('It needs more. Install it.')"},
        "mine",
        "ImportError: It needs more. Install it, in mine.py, line 1",
        "Mend it in /home/me/mine.",
    ),
}


@pytest.mark.parametrize(("files", "target", "reason", "hint"), AUTHORS.values(), ids=AUTHORS)
def test_an_author_is_told_what_to_mend_and_where(files, target, reason, hint, site, taskkit):
    site.add("taskkit-mine", {"mine": target}, files)
    direct = {"url": "file:///home/me/mine", "dir_info": {"editable": True}}
    (site.path / "taskkit_mine-0.1.dist-info/direct_url.json").write_text(json.dumps(direct))
    listed = taskkit("list", "plugins", "--json", sites=(site.path,), TASKKIT_PLUGINS="mine")
    (found,) = [each for each in json.loads(listed.stdout)["plugins"] if each["name"] == "mine"]
    assert (found["reason"], found["hint"]) == (reason, hint)
    (site.path / "mine.yaml").write_text("task: {name: mine.task}\nmodel: {name: mine.net}\n")
    asked = taskkit("check", str(site.path / "mine.yaml"), sites=(site.path,), TASKKIT_PLUGINS="mine")
    assert f"mine.net cannot be used: taskkit-mine 0.1 failed to load ({reason}). {hint}\n" in asked.stderr


def test_a_component_that_names_no_module_is_its_authors_to_mend(site, taskkit):
    site.add("taskkit-mine", {"mine": "mine"}, {"mine.py": declaring("mine.net", section="'mine_sectons:Net'")})
    (line,) = taskkit("show", "mine.net", sites=(site.path,), TASKKIT_PLUGINS="mine").stderr.splitlines()
    said = "mine.net cannot be used: mine_sectons:Net of taskkit-mine 0.1 failed to load"
    assert line == f"{said} (ModuleNotFoundError: No module named 'mine_sectons'). {TELL_AUTHORS}"


def test_a_component_without_its_class_is_refused_by_check(site, taskkit):
    sources = {
        "mine/__init__.py": "",
        "mine/plugin.py": declaring("mine.net", implementation="'mine.nets:Net'"),
        "mine/nets.py": "import torch\n\n\nclass Nett(torch.nn.Module): ...\n",
    }
    site.add("taskkit-mine", {"mine": "mine.plugin"}, sources)
    (site.path / "mine.yaml").write_text("model: {name: mine.net}\n")
    words = ("check", str(site.path / "mine.yaml"))
    asked = taskkit(*words, sites=(site.path,), TASKKIT_PLUGINS="mine")
    said = "mine.net cannot be used: mine.nets:Net of taskkit-mine 0.1 is not there"
    assert f"{said}: mine.nets has no Net. {TELL_AUTHORS}" in asked.stderr
    (site.path / "mine/nets.py").unlink()
    assert (
        f"{said}: there is no module mine.nets." in taskkit(*words, sites=(site.path,), TASKKIT_PLUGINS="mine").stderr
    )


def test_a_distribution_without_a_name_is_not_called_by_its_version(site, sound_site, taskkit):
    site.add("taskkit-mine", {"mine": "mine"}, {"mine.py": declaring("sound.tone")})
    (site.path / "taskkit_mine-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nVersion: 0.1\n")
    listed = taskkit("list", "plugins", "--json", sites=(site.path, sound_site))
    reasons = {each["reason"] for each in json.loads(listed.stdout)["plugins"] if each["status"] == "conflict"}
    assert reasons == {"unknown 0.1 and taskkit-sound 1.2.3 both declare the model 'sound.tone'"}


def test_two_distributions_with_one_entry_point_are_both_loaded(site, sound_site, taskkit):
    site.add("taskkit-copy", {"sound": "sound_copy"}, {"sound_copy.py": declaring("sound.copy")})
    sections = json.loads(taskkit("list", "--json", sites=(site.path, sound_site)).stdout)
    plugins = [plugin for plugin in sections["plugins"] if plugin["name"] == "sound"]
    assert [(plugin["distribution"], plugin["status"]) for plugin in plugins] == [
        ("taskkit-copy", "ok"),
        ("taskkit-sound", "ok"),
    ]
    owners = {model["name"]: model["distribution"] for model in sections["models"]}
    assert (owners["sound.copy"], owners["sound.tone"]) == ("taskkit-copy", "taskkit-sound")


def test_a_component_of_two_plugins_belongs_to_neither_and_both_keep_the_rest(site, sound_site, taskkit):
    site.add("taskkit-copy", {"copy": "copy_plugin"}, {"copy_plugin.py": declaring("sound.tone", "copy.model")})
    sections = json.loads(taskkit("list", "--json", sites=(site.path, sound_site)).stdout)
    names = [model["name"] for model in sections["models"]]
    assert "copy.model" in names
    assert "sound.tone" not in names
    assert "tone" in [recipe["name"] for recipe in sections["recipes"]]
    clashes = {plugin["name"]: plugin for plugin in sections["plugins"] if plugin["status"] == "conflict"}
    assert sorted(clashes) == ["copy", "sound"]
    for plugin in clashes.values():
        assert plugin["reason"] == "taskkit-copy 0.1 and taskkit-sound 1.2.3 both declare the model 'sound.tone'"
        assert plugin["hint"].startswith("Choose one, as by `plugins: {prefer: [taskkit-copy]}` in the recipe, or in ")


def test_a_component_that_one_distribution_declares_twice_is_its_authors_to_rename(site, taskkit):
    files = {"one.py": declaring("twice.model", "twice.model"), "two.py": declaring("twice.model", "twice.other")}
    site.add("taskkit-twice", {"one": "one", "two": "two"}, files)
    sections = json.loads(taskkit("list", "--json", sites=(site.path,)).stdout)
    assert [model["name"] for model in sections["models"] if model["name"].startswith("twice.")] == ["twice.other"]
    clashes = [plugin for plugin in sections["plugins"] if plugin["distribution"] == "taskkit-twice"]
    assert [(plugin["name"], plugin["status"]) for plugin in clashes] == [("one", "conflict"), ("two", "conflict")]
    for plugin in clashes:
        assert plugin["reason"] == "taskkit-twice 0.1 declares the model 'twice.model' twice"
        assert plugin["hint"] == "Its authors must rename one of them. Until then, try another version of it."


def test_malformed_metadata_of_one_package_hides_no_plugin(site, sound_site, taskkit):
    site.add("garbled", "[taskkit]\nthis is no entry point\n", {})
    listed = taskkit("list", "plugins", "--json", sites=(site.path, sound_site))
    plugins = {plugin["distribution"]: plugin for plugin in json.loads(listed.stdout)["plugins"]}
    assert plugins["taskkit-sound"]["status"] == "ok"
    assert (plugins["garbled"]["status"], plugins["garbled"]["stage"]) == ("broken", "metadata")


def test_what_a_plugin_prints_does_not_reach_stdout(site, taskkit):
    site.add("taskkit-loud", {"loud": "loud"}, {"loud.py": f"print('LOUD')\n{declaring('loud.model')}"})
    listed = taskkit("list", "models", "--json", sites=(site.path,))
    assert "LOUD" in listed.stderr
    assert "loud.model" in [model["name"] for model in json.loads(listed.stdout)["models"]]


def test_a_wrapper_around_a_hook_does_not_reach_other_plugins(site, sound_site, taskkit):
    source = (
        f"{IMPORTS}\n@hookimpl(wrapper=True)\ndef taskkit_components():\n"
        "    yield\n    raise RuntimeError('nothing for anybody')\n"
    )
    site.add("taskkit-greedy", {"greedy": "greedy"}, {"greedy.py": source})
    sections = json.loads(taskkit("list", "--json", sites=(site.path, sound_site)).stdout)
    assert "sound.tone" in [model["name"] for model in sections["models"]]


def test_an_allow_list_keeps_the_others_from_being_imported(site, sound_site, taskkit):
    site.add("taskkit-loud", {"loud": "loud"}, {"loud.py": f"print('LOUD')\n{declaring('loud.model')}"})
    listed = taskkit("list", "--json", sites=(site.path, sound_site), TASKKIT_PLUGINS="sound, speach")
    assert "LOUD" not in listed.stderr
    plugins = {plugin["name"]: plugin for plugin in json.loads(listed.stdout)["plugins"]}
    assert plugins["sound"]["status"] == "ok"
    assert plugins["loud"]["status"] == "off"
    assert plugins["speach"]["reason"] == "no plugin named 'speach' is installed"


@pytest.mark.parametrize("name", ["taskkit-sound", "Taskkit_Sound"])
def test_an_allow_list_chooses_between_distributions_of_one_entry_point(name, site, sound_site, taskkit):
    site.add("taskkit-copy", {"sound": "sound_copy"}, {"sound_copy.py": declaring("sound.tone")})
    sections = json.loads(taskkit("list", "--json", sites=(site.path, sound_site), TASKKIT_PLUGINS=name).stdout)
    status = {plugin["distribution"]: plugin["status"] for plugin in sections["plugins"]}
    assert (status["taskkit-sound"], status["taskkit-copy"]) == ("ok", "off")
    assert [(model["name"], model["distribution"]) for model in sections["models"]] == [("sound.tone", "taskkit-sound")]


@pytest.mark.parametrize(("arguments", "variables"), [(["--no-plugins"], {}), ([], {"TASKKIT_PLUGINS": ""})])
def test_all_plugins_can_be_left_out(arguments, variables, sound_site, taskkit):
    listed = taskkit("list", "--json", *arguments, sites=(sound_site,), **variables)
    sections = json.loads(listed.stdout)
    assert {plugin["status"] for plugin in sections["plugins"]} == {"off"}
    assert sections["models"] == []


def plugin(*components: Component) -> object:
    """A plugin object that declares these components."""
    return SimpleNamespace(taskkit_components=hookimpl(lambda: components))


def component(kind: str, name: str) -> Component:
    return Component(
        kind=kind,
        name=name,
        summary="For the tests.",
        implementation="torch.nn:Identity",
        section="taskkit:ClassificationSection",
        input="taskkit:Classes",
        targets=("taskkit:Classes",),
    )


@pytest.fixture
def toys() -> Plugins:
    toy = plugin(
        component("model", "toy.vit"),
        component("task", "toy.classification"),
        component("data", "toy.blocks"),
    )
    return discover(allow=(), extra={"toy": toy})


def test_a_component_is_found_with_its_owner(toys):
    found = toys.find("model", "toy.vit")
    assert (found.kind, found.name) == ("model", "toy.vit")
    assert toys.owner(found).entry_point == "toy"


def test_components_are_sorted_by_kind_and_name(toys):
    assert [found.name for found in toys.components] == ["toy.classification", "toy.vit", "toy.blocks"]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "task",
            "toy.clasification",
            "No task named 'toy.clasification'. Did you mean 'toy.classification'?",
        ),
        ("model", "vit", "No model named 'vit'. Did you mean 'toy.vit'?"),
        (
            "task",
            "toy.vit",
            "'toy.vit' is of kind model, not task. `taskkit list tasks` shows what there is.",
        ),
        ("data", "toy.zebras", "No data named 'toy.zebras'. `taskkit list data` shows what there is."),
        (
            "task",
            "video.caption",
            "No task named 'video.caption'. No plugin named 'video' is installed.\n"
            "  Where it is a file of yours, name it with --plugin FILE; "
            "`taskkit plugins search` lists what is published.",
        ),
        ("model", "tyo.vit", "No model named 'tyo.vit'. Did you mean 'toy.vit'?"),
    ],
)
def test_what_is_not_found_is_explained(toys, kind, name, said):
    with pytest.raises(PluginError) as raised:
        toys.find(kind, name)
    assert str(raised.value) == said


@pytest.mark.parametrize("name", ["text", "taskkit-text", "Taskkit_Text"])
def test_a_plugin_that_is_listed_is_advised_by_its_distribution(name):
    assert install_advice(name) == "Try: pip install taskkit-text"


def test_using_something_of_a_broken_plugin_gives_the_stored_reason(site, monkeypatch):
    site.add(
        "taskkit-speech",
        {"speech": "speech_of_old"},
        {"speech_of_old.py": "import torchaudio_of_old"},
        "0.2.0",
    )
    monkeypatch.syspath_prepend(str(site.path))
    with pytest.raises(PluginError) as raised:
        discover(allow=["speech"]).find("task", "speech.ctc")
    assert str(raised.value) == (
        "speech.ctc cannot be used: taskkit-speech 0.2.0 failed to load "
        "(ModuleNotFoundError: No module named 'torchaudio_of_old', in speech_of_old.py, line 1).\n"
        "  Install the distribution that brings the module 'torchaudio_of_old'."
    )


def test_using_something_of_a_plugin_that_is_off_says_so(sound_site, monkeypatch):
    monkeypatch.syspath_prepend(str(sound_site))
    with pytest.raises(PluginError, match=r"the plugin 'sound' \(taskkit-sound 1.2.3\) is switched off"):
        discover(allow=()).find("model", "sound.tone")


def test_a_mistyped_name_is_not_laid_to_another_plugin_of_its_modality_that_is_broken(site, sound_site, monkeypatch):
    site.add("taskkit-copy", {"sound": "sound_of_old"}, {"sound_of_old.py": "import torchaudio_of_old"})
    monkeypatch.syspath_prepend(str(site.path))
    monkeypatch.syspath_prepend(str(sound_site))
    plugins = discover(allow=["sound"])
    with pytest.raises(PluginError, match=r"No model named 'sound.tonne'. Did you mean 'sound.tone'\?"):
        plugins.find("model", "sound.tonne")
    with pytest.raises(PluginError, match=r"sound.whistle cannot be used: taskkit-copy 0.1 failed to load"):
        plugins.find("model", "sound.whistle")


def test_using_a_component_of_two_plugins_names_both_owners():
    both = {"one": plugin(component("model", "toy.vit")), "two": plugin(component("model", "toy.vit"))}
    with pytest.raises(PluginError, match=r"toy.vit cannot be used: one and two both declare the model 'toy.vit'"):
        discover(allow=(), extra=both).find("model", "toy.vit")


def test_only_what_the_environment_allows_is_imported(sound_site, monkeypatch):
    monkeypatch.syspath_prepend(str(sound_site))
    monkeypatch.setenv("TASKKIT_PLUGINS", "sound")
    assert [info.entry_point for info in from_environment().plugins] == ["sound"]
    assert from_environment(no_plugins=True).plugins == ()


def test_installed_recipes_and_commands_are_found(sound_site, monkeypatch):
    monkeypatch.syspath_prepend(str(sound_site))
    plugins = discover(allow=["sound"])
    assert [recipe.path.name for recipe in plugins.recipes()] == ["tone.yaml"]
    assert [command.name for command in plugins.commands()] == ["hum"]
    assert plugins.owner(plugins.recipes()[0]).distribution == "taskkit-sound"


def test_a_plugin_adds_callbacks_to_the_runs_that_it_chooses(sound_site, monkeypatch):
    monkeypatch.syspath_prepend(str(sound_site))
    plugins = discover(allow=["sound"])
    (bell,) = plugins.callbacks(SimpleNamespace(model=SimpleNamespace(name="sound.tone")))
    assert type(bell).__name__ == "Bell"
    assert plugins.callbacks(SimpleNamespace(model=SimpleNamespace(name="image.vit"))) == ()


def test_callbacks_come_from_every_plugin():
    one = SimpleNamespace(taskkit_callbacks=hookimpl(lambda recipe: [("one", recipe)]))
    two = SimpleNamespace(taskkit_callbacks=hookimpl(lambda: ["two"]))
    assert discover((), extra={"one": one, "two": two}).callbacks("recipe") == (("one", "recipe"), "two")


def test_callbacks_that_fail_name_their_plugin():
    broken = SimpleNamespace(taskkit_callbacks=hookimpl(lambda recipe: recipe.nothing))
    with pytest.raises(PluginError, match="broken gives no callbacks: taskkit_callbacks: AttributeError"):
        discover((), extra={"broken": broken}).callbacks("recipe")


FACT = "from dataclasses import dataclass\nfrom taskkit import Fact\n@dataclass(frozen=True)\nclass {}(Fact): ...\n"
SECTION = "from dataclasses import dataclass, field\nfrom typing import Any, Literal\nfrom taskkit import setting\n\n"


def section(field: str) -> str:
    """The source of a section with one field."""
    return f"{SECTION}@dataclass\nclass Net:\n    {field}\n"


NO_SECTIONS = {
    "a field without setting()": (
        section("width: int = 8"),
        "has the field Net.width without setting(). Write `width: … = taskkit.setting(8, doc=…)`.",
    ),
    "a required field without setting()": (
        section("width: int"),
        "has the field Net.width without setting(). Write `width: … = taskkit.setting(doc=…)`.",
    ),
    "a field of a nested section without setting()": (
        f"{SECTION}@dataclass\nclass Layer:\n    size: int = 8\n\n\n"
        "@dataclass\nclass Net:\n    layer: Layer = field(default_factory=Layer)\n",
        "has the field Layer.size without setting().",
    ),
    "a subclass that is no dataclass": (
        f"{section('width: int = setting(8)')}\n\nclass Wide(Net):\n    depth: int = setting(2)\n\n\nNet = Wide\n",
        "has the setting Wide.depth, which is no field. Write @dataclass above the class.",
    ),
    "a default of another type": (
        section("width: int = setting('wide')"),
        "has the field Net.width with the default 'wide'. Expected int: correct one of them.",
    ),
    "true for a number": (
        section("width: float = setting(True)"),
        "has the field Net.width with the default True. Expected float: correct one of them.",
    ),
    "null that is not said": (
        section("width: int = setting(None)"),
        "has the field Net.width with the default None. Expected int: correct one of them.",
    ),
    "an item of another type": (
        section("widths: list[int] = setting([8, 'x'])"),
        "has the field Net.widths with the default [8, 'x']. Expected list[int]: correct one of them.",
    ),
    "a default that is none of the choices": (
        section("form: Literal['wide', 'deep'] = setting('tall')"),
        "has the field Net.form with the default 'tall'. Expected Literal['wide', 'deep']: correct one of them.",
    ),
    "a default out of bounds": (
        section("width: int = setting(0, ge=1)"),
        "has the field Net.width with the default 0. Expected ge=1: correct one of them.",
    ),
    "an item out of bounds": (
        section("betas: tuple[float, ...] = setting((0.9, 1.0), ge=0, lt=1)"),
        "has the field Net.betas with the default (0.9, 1.0). Expected ge=0, lt=1: correct one of them.",
    ),
    "bounds of text": (
        section("name: str = setting('net', ge=1)"),
        "has the field Net.name of the type str with the bounds ge=1. Only numbers have bounds: remove them.",
    ),
    "a type that no recipe holds": (
        section("widths: set[int] = setting(doc='widths')"),
        "has the field Net.widths of the type set[int], which no recipe can hold. Use bool, int,",
    ),
    "a list of anything": (
        section("widths: list = setting([])"),
        "has the field Net.widths of the type list, which no recipe can hold. Use bool, int,",
    ),
    "a type inside another that no recipe holds": (
        section("widths: dict[str, list[bytes]] | None = setting(None)"),
        "has the field Net.widths of the type bytes, which no recipe can hold. Use bool, int,",
    ),
    "a mapping whose keys no recipe holds": (
        section("widths: dict[float, int] = setting({})"),
        "has the field Net.widths of the type dict[float, int], which no recipe can hold. Use bool, int,",
    ),
    "a class that is no dataclass": (
        "class Net:\n    width = 8\n",
        "is not a dataclass of readable types (TypeError:",
    ),
    "a function in place of a section": (
        "def Net():\n    return 8\n",
        "is not a dataclass of readable types (TypeError:",
    ),
    "a module that leaves": (
        "raise SystemExit(3)",
        "failed to load (SystemExit: 3, in bad_sections.py, line 1).",
    ),
    "a module that loads torch": (
        f"import torch\n{section('width: int = setting(8)')}",
        "imports torch, for which every check of a recipe would wait. "
        "What needs torch belongs into another module than bad_sections and those that it imports.",
    ),
}


@pytest.mark.parametrize(("source", "fault"), NO_SECTIONS.values(), ids=NO_SECTIONS)
def test_a_section_is_refused_in_one_line_that_names_plugin_and_field_for(source, fault, site, taskkit):
    files = {"bad_plugin.py": declaring("bad.net", section="'bad_sections:Net'"), "bad_sections.py": source}
    site.add("taskkit-bad", {"bad": "bad_plugin"}, files)
    shown = taskkit("show", "bad.net", sites=(site.path,), TASKKIT_PLUGINS="bad")
    assert (shown.returncode, shown.stdout) == (2, "")
    (line,) = shown.stderr.splitlines()
    assert line.startswith(f"bad.net cannot be used: bad_sections:Net of taskkit-bad 0.1 {fault}")
    assert line.endswith(TELL_AUTHORS)


def test_every_type_that_a_recipe_can_hold_may_be_that_of_a_setting(site, taskkit):
    fields = """
    anything: Any = setting(None)
    path: Path = setting(Path("points"))
    rate: float = setting(1, "a whole number is a number", gt=0)
    sizes: tuple[int, str] = setting((1, "x"))
    steps: Sequence[int] = setting((1, 2), ge=1)
    until: dict[str, int | None] = setting({"head": None})
    numbered: Mapping[int, list[list[float]]] = setting({})
    form: Literal["auto", 3, True] | None = setting(3)
    adapter: Adapter | None = setting(None)
    other: Adapter = field(default_factory=Adapter)
    made: int = field(init=False, default=0)
"""
    source = (
        f"{SECTION}from collections.abc import Mapping, Sequence\nfrom pathlib import Path\n"
        f"@dataclass\nclass Adapter:\n    rank: int = setting(8)\n    inner: 'Adapter | None' = setting(None)\n"
        f"@dataclass\nclass Net:{fields}"
    )
    files = {"good_plugin.py": declaring("good.net", section="'good_sections:Net'"), "good_sections.py": source}
    site.add("taskkit-good", {"good": "good_plugin"}, files)
    shown = taskkit("show", "good.net", sites=(site.path,), TASKKIT_PLUGINS="good")
    assert shown.returncode == 0, shown.stderr
    assert "rate: 1" in shown.stdout


ODD = "odd_facts:Odd"


def test_a_fact_whose_module_loads_torch_is_refused(site, taskkit):
    components = [
        f"Component('{kind}', 'odd.{kind}', 'Odd.', '{ODD}', 'taskkit:NoOptions', '{given}', ('taskkit:Classes',))"
        for kind, given in (("task", ""), ("model", ODD), ("data", ODD))
    ]
    facts = f"import torch\n{FACT.format('Odd')}"
    files = {"odd_plugin.py": hooked(f"[{', '.join(components)}]"), "odd_facts.py": facts}
    recipe = "task: {name: odd.task}\nmodel: {name: odd.model}\ndata: {name: odd.data}\ntrainer: {max_epochs: 1}\n"
    site.add("taskkit-odd", {"odd": "odd_plugin"}, {**files, "odd.yaml": recipe})
    checked = taskkit("check", str(site.path / "odd.yaml"), sites=(site.path,), TASKKIT_PLUGINS="odd")
    assert checked.returncode == 2
    (line,) = checked.stderr.splitlines()
    assert "odd.model cannot be used: odd_facts:Odd of taskkit-odd 0.1 imports torch" in line


def test_facts_of_one_name_are_told_apart_by_their_modules(site, monkeypatch):
    site.add("taskkit-mine", {}, {"facts_of_mine.py": FACT.format("Classes")})
    monkeypatch.syspath_prepend(str(site.path))
    task = component("task", "toy.classification")
    data = replace(component("data", "toy.blocks"), targets=("facts_of_mine:Classes",))
    plugins = discover(allow=(), extra={"toy": plugin(task, data)})
    assert dict(fits({"task": task, "data": data}, plugins)) == {
        ("data", "name"): "task toy.classification needs taskkit:Classes as targets; data toy.blocks states "
        "facts_of_mine:Classes. No installed data fits task toy.classification; choose another task."
    }


@pytest.mark.parametrize("module", ["taskkit", "taskkit.spec", "taskkit.section", "taskkit.contracts.facts"])
def test_a_public_name_is_found_wherever_in_the_host_a_reference_says_that_it_lies(module):
    assert load(f"{module}:Classes") is taskkit_names.Classes


@pytest.mark.parametrize("reference", ["taskkit.spec:_pack", "taskkit_spec:Classes"])
def test_no_other_name_is_looked_for_elsewhere(reference):
    with pytest.raises(ModuleNotFoundError):
        load(reference)
