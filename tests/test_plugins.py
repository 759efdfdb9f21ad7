"""Discovery against distributions that are really installed: no bad one breaks the list or a good one."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from taskkit.contracts.component import Component
from taskkit.contracts.hookspecs import hookimpl
from taskkit.errors import PluginError
from taskkit.plugins.discovery import Plugins, discover, from_environment

IMPORTS = "from taskkit import Component, RecipeFile, hookimpl\n"


def declaring(*names: str, **fields: str) -> str:
    """The source of a plugin that declares models of these names."""
    values = {
        "kind": "'model'",
        "summary": "'A model.'",
        "implementation": "'torch.nn:Identity'",
        "section": "'taskkit.contracts.settings:ClassificationSection'",
        "input": "'taskkit.contracts.facts:Classes'",
        **fields,
    }
    arguments = ", ".join(f"{key}={value}" for key, value in values.items())
    components = ", ".join(f"Component(name={name!r}, {arguments})" for name in names)
    return hooked(f"[{components}]")


def hooked(value: str, hook: str = "taskkit_components") -> str:
    """The source of a plugin with one hook that returns this."""
    return f"{IMPORTS}\n@hookimpl\ndef {hook}():\n    return {value}\n"


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
        "Try: pip install torchaudio_of_old",
    ),
    "needs a part that an installed package lacks": Bad(
        "import taskkit.future", "load", "No module named 'taskkit.future'"
    ),
    "is not in its own wheel": Bad(
        "", "load", "its module 'bad_elsewhere' is missing", "again", target="bad_elsewhere.plugin"
    ),
    "lacks the object of its entry point": Bad("", "load", "AttributeError", target="bad_plugin:nothing"),
    "is no Python": Bad("def (", "load", "SyntaxError: invalid syntax (bad_plugin.py, line 1)"),
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
        "it needs taskkit API '>=7', this is 0.1",
        "taskkit-ml",
    ),
    "is an object in a module made for another API": Bad(
        "class Plugin: pass\nplugin = Plugin()\ntaskkit_api = '>=7'",
        "api",
        "'>=7'",
        "taskkit-ml",
        "bad_plugin:plugin",
    ),
    "states no range of APIs": Bad("taskkit_api = 'latest'", "api", "expected a range such as '>=0.1"),
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
        declaring("bad.m", targets="'taskkit.contracts.facts:Classes'"),
        "call",
        "expected a tuple of `package.module:Name`",
    ),
    "declares a task that judges nothing": Bad(declaring("bad.m", kind="'task'"), "call", "expected the one that"),
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


def test_neither_of_two_distributions_with_one_entry_point_wins(site, sound_site, taskkit):
    site.add("taskkit-copy", {"sound": "sound_copy"}, {"sound_copy.py": declaring("sound.copy")})
    site.add("taskkit-other", {"other": "other"}, {"other.py": declaring("other.model")})
    sections = json.loads(taskkit("list", "--json", sites=(site.path, sound_site)).stdout)
    claimants = [plugin for plugin in sections["plugins"] if plugin["name"] == "sound"]
    assert [plugin["distribution"] for plugin in claimants] == ["taskkit-copy", "taskkit-sound"]
    for plugin in claimants:
        assert plugin["status"] == "broken"
        assert plugin["reason"] == "taskkit-copy 0.1 and taskkit-sound 1.2.3 both declare the entry point 'sound'"
    names = [model["name"] for model in sections["models"]]
    assert "other.model" in names
    assert not [name for name in names if name.startswith("sound.")]


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
        section="taskkit.contracts.settings:ClassificationSection",
        input="taskkit.contracts.facts:Classes",
        targets=("taskkit.contracts.facts:Classes",),
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
            "No task named 'video.caption'. No plugin named 'video' is installed.\n  Try: pip install taskkit-video",
        ),
        ("model", "tyo.vit", "No model named 'tyo.vit'. Did you mean 'toy.vit'?"),
    ],
)
def test_what_is_not_found_is_explained(toys, kind, name, said):
    with pytest.raises(PluginError) as raised:
        toys.find(kind, name)
    assert str(raised.value) == said


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
        "(ModuleNotFoundError: No module named 'torchaudio_of_old').\n  Try: pip install torchaudio_of_old"
    )


def test_using_something_of_a_plugin_that_is_off_says_so(sound_site, monkeypatch):
    monkeypatch.syspath_prepend(str(sound_site))
    with pytest.raises(PluginError, match=r"the plugin 'sound' \(taskkit-sound 1.2.3\) is switched off"):
        discover(allow=()).find("model", "sound.tone")


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


def test_callbacks_come_from_every_plugin():
    one = SimpleNamespace(taskkit_callbacks=hookimpl(lambda recipe: [("one", recipe)]))
    two = SimpleNamespace(taskkit_callbacks=hookimpl(lambda: ["two"]))
    assert discover((), extra={"one": one, "two": two}).callbacks("recipe") == (("one", "recipe"), "two")


def test_callbacks_that_fail_name_their_plugin():
    broken = SimpleNamespace(taskkit_callbacks=hookimpl(lambda recipe: recipe.nothing))
    with pytest.raises(PluginError, match="broken gives no callbacks: taskkit_callbacks: AttributeError"):
        discover((), extra={"broken": broken}).callbacks("recipe")
