"""Recipes: how files and overrides become one, where each value came from, and what `show` says of it."""

import hashlib
import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from taskkit.contracts.component import KINDS
from taskkit.contracts.recipe import SECTIONS, SWITCHED_OFF
from taskkit.contracts.settings import settings, to_plain
from taskkit.errors import RecipeError
from taskkit.plugins.discovery import discover
from taskkit.recipe.load import from_plain, load, split
from tests.conftest import PACKAGES

MOONS = (PACKAGES / "taskkit-points/src/taskkit_points/moons.yaml").read_text()


@pytest.fixture
def plugins(points, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "taskkit_points"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(points)
    monkeypatch.chdir(tmp_path)
    return discover(["points"])


@pytest.fixture
def read(plugins):
    """Load recipes that are written to a.yaml, b.yaml, … in the current directory, and overrides."""

    def call(*texts: str, overrides=()):
        names = [f"{letter}.yaml" for letter, _ in zip("abc", texts, strict=False)]
        for name, text in zip(names, texts, strict=True):
            Path(name).write_text(text)
        return load(names, overrides, plugins)

    return call


def refused(read, *texts, overrides=()):
    with pytest.raises(RecipeError) as caught:
        read(*texts, overrides=overrides)
    return [str(problem) for problem in caught.value.problems]


# Merging.


def test_values_that_a_recipe_leaves_out_are_the_sections_defaults(read):
    recipe = read(MOONS).recipe
    assert (recipe.task.name, recipe.model.name, recipe.data.name) == (
        "points.classification",
        "points.net",
        "points.moons",
    )
    assert (recipe.model.section.width, recipe.model.section.dropout, recipe.loader.batch_size) == (16, 0.0, 16)
    assert recipe.early_stopping is None
    assert recipe.compile is False


def test_later_files_win_over_earlier_ones_and_overrides_over_all(read):
    overlay = "optim: {lr: 2e-3}\nmodel: {named: {a: 1}}\n"
    resolved = read(MOONS, overlay, overrides=["optim.lr=3e-3", "model.named.b=2"])
    assert resolved.recipe.optim.lr == 3e-3
    assert resolved.recipe.optim.warmup == 0.1
    assert resolved.recipe.model.section.named == {"a": 1.0, "b": 2.0}


def test_a_list_is_replaced_as_a_whole(read):
    assert read(MOONS, "model: {sizes: [1, 2, 3]}", overrides=["model.sizes=[9]"]).recipe.model.section.sizes == [9]


def test_null_overrides_a_value_and_switches_a_section_off(read):
    stopping = "early_stopping: {patience: 2}\nmodel: {note: hello}\n"
    assert read(MOONS, stopping).recipe.early_stopping.patience == 2
    recipe = read(MOONS, stopping, overrides=["early_stopping=null", "model.note=null"]).recipe
    assert recipe.early_stopping is None
    assert recipe.model.section.note is None


def test_one_override_switches_early_stopping_on(read):
    assert read(MOONS, overrides=["early_stopping.patience=9"]).recipe.early_stopping.patience == 9


def test_another_model_name_drops_the_settings_of_the_model_before_and_says_so(read):
    resolved = read(MOONS, "model: {name: points.linear}\n")
    assert to_plain(resolved.recipe.model.section) == {}
    assert resolved.notes == (
        "b.yaml:1:9: model.name is now points.linear, so these settings of points.net are dropped: width.",
    )


def test_the_order_of_overrides_does_not_matter_to_a_new_name(read):
    overrides = ["model.width=4", "model.name=points.net"]
    linear = MOONS.replace("points.net, width: 16", "points.linear")
    assert read(linear, overrides=overrides).recipe.model.section.width == 4
    assert read(linear, overrides=overrides[::-1]).recipe.model.section.width == 4


def test_the_same_name_again_drops_nothing(read):
    resolved = read(MOONS, "model: {name: points.net, dropout: 0.5}\n")
    assert (resolved.recipe.model.section.width, resolved.recipe.model.section.dropout, resolved.notes) == (16, 0.5, ())


def test_a_recipe_without_title_is_called_like_its_file(read):
    assert read(MOONS.replace("title: Two moons\n", "")).recipe.title == "a"


def test_a_character_that_json_writes_in_two_halves_is_one_and_a_half_is_refused(read):
    assert read(MOONS, json.dumps({"title": "😀 \udce9"})).recipe.title == "😀 \udce9"
    [problem] = refused(read, MOONS, '{"title": "a \\ud83d b"}')
    assert problem.startswith("b.yaml:1:11: it holds '\\ud83d', half of a character")


def test_the_name_of_a_shipped_recipe_finds_it(plugins, points):
    resolved = load(["moons"], [], plugins)
    assert resolved.files == (points / "taskkit_points" / "moons.yaml",)
    assert resolved.sha256 == hashlib.sha256(MOONS.encode()).hexdigest()


def test_a_recipe_that_a_broken_plugin_may_ship_is_not_said_to_be_missing(site, monkeypatch, tmp_path):
    site.add("taskkit-rusty", {"rusty": "rusty"}, {"rusty.py": "raise RuntimeError('rust')"})
    monkeypatch.syspath_prepend(str(site.path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"^waves: no file or recipe of a plugin that loads.*\n.*taskkit-rusty.*rust"):
        load(["waves"], [], discover({"rusty"}))
    with pytest.raises(RecipeError, match=r"there is no such file"):
        load(["waves.yaml"], [], discover({"rusty"}))


def test_words_with_an_equals_sign_are_overrides_unless_they_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lr=1.yaml").write_text("")
    long = "optim.freeze=" + "a" * 300
    assert split(["a.yaml", "optim.lr=1", "lr=1.yaml", long]) == (
        ["a.yaml", "lr=1.yaml"],
        ["optim.lr=1", long],
    )


# Values.


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optim.lr=1e-3", 0.001),
        ("optim.lr=1", 1.0),
        ("optim.lr=.5", 0.5),
        ("trainer.max_epochs=1e1", 10),
        ("trainer.max_epochs=1_000", 1000),
        ("loader.resident=no", "no"),
        ("loader.drop_last=no", False),
        ("loader.drop_last=True", True),
        ("title=007", "007"),
        ("title=12", "12"),
        ("title=010", "010"),
        ("title=no", "no"),
        ("title=12:30", "12:30"),
        ("title='null'", "null"),
        ("title=2026-11-22", "2026-11-22"),
        ("trainer.devices=auto", "auto"),
        ("trainer.devices=2", 2),
        ("model.depth=3", 3),
        ("model.depth=auto", "auto"),
        ("model.scale=[1, 2]", (1.0, 2.0)),
        ("model.last.width=5", 5),
        ("model.anything={a: [1, x, null]}", {"a": [1, "x", None]}),
        ("optim.options={eps: 1e-6}", {"eps": 1e-6}),
        ("optim.freeze={'blocks.0.*': null, head: 10}", {"blocks.0.*": None, "head": 10}),
    ],
)
def test_a_value_gets_the_type_of_its_field(read, override, value):
    found = read(MOONS, overrides=[override]).recipe
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
        found = getattr(found, "section", found)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["1_000", "+5", "-0"])
def test_a_number_that_another_text_would_be_made_of_is_refused_as_text(read, text):
    message = f"title is {text}, which is a number. Expected text. Put it in quotes."
    assert refused(read, MOONS, f"title: {text}\n") == [f"b.yaml:1:1: {message}"]
    with pytest.raises(RecipeError) as error:
        read(MOONS, overrides=[f"title={text}"])
    assert str(error.value) == f"override 'title={text}': {message}"
    assert read(MOONS, overrides=[f"title='{text}'"]).recipe.title == text
    assert read(MOONS, overrides=[f"title={text}", "title=mine"]).recipe.title == "mine"


def test_files_and_overrides_read_values_alike(read):
    for text in ["1e-3", "0.5", "5"]:
        written = read(MOONS.replace("lr: 1e-3", f"lr: {text}")).recipe.optim.lr
        assert written == read(MOONS, overrides=[f"optim.lr={text}"]).recipe.optim.lr


# References.


def test_a_reference_takes_the_value_of_another_key_even_of_a_default(read):
    overrides = ["optim.weight_decay=${optim.lr}", "model.width=${model.last.width}", "title=seed ${seed}"]
    recipe = read(MOONS, overrides=overrides).recipe
    assert (recipe.optim.weight_decay, recipe.model.section.width, recipe.title) == (0.001, 8, "seed 7")


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "${oc.env:SECRET,none}",
        "${anything:1}",
        "${ oc.env : HOME }",
        "${${title}:HOME}",
        "x${oc.create:{a: 1}}",
        "\\${oc.env:HOME}",
    ],
)
def test_resolvers_are_refused(read, text):
    [problem] = refused(read, MOONS, f"model: {{note: '{text}'}}")
    assert problem == (
        f"b.yaml:1:9: model.note: {text!r} calls a resolver. A recipe only refers to its own keys. Write a value."
    )


def test_parts_do_not_add_up_to_a_resolver(read):
    parts = "title: '\\${oc.env'\nmodel: {note: '${title}:HOME}'}\n"
    problems = refused(read, MOONS, parts)
    assert all("Refer to a key" in problem or "is not a reference" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "${optim.lrr}",
            "leads nowhere: Interpolation key 'optim.lrr' not found. Refer to a key of this recipe.",
        ),
        ("${model.note}", "leads nowhere: Recursive interpolation detected. Refer to a key of this recipe."),
        ("${optim.", "is not a reference. Expected ${section.key}, such as ${optim.lr}."),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_problem(read, text, reason):
    assert refused(read, MOONS, f"model: {{note: '{text}'}}") == [f"b.yaml:1:9: model.note: {text!r} {reason}"]


def test_what_a_broken_reference_leaves_behind_is_no_further_problem(read):
    [problem] = refused(read, MOONS, overrides=["trainer.max_epochs=${nowhere}"])
    assert "leads nowhere" in problem


# Origins.


def test_why_names_the_file_or_override_that_set_a_value_and_what_it_replaced(read):
    origins = read(MOONS, "optim: {lr: 2e-3}\n", overrides=["optim.lr=3e-3"]).why("optim.lr")
    assert [(origin.where, origin.value) for origin in origins["optim.lr"]] == [
        ("default", 0.001),
        ("a.yaml:8:24", 0.001),
        ("b.yaml:1:9", 0.002),
        ("override 'optim.lr=3e-3'", 0.003),
    ]


def test_why_of_a_section_explains_each_of_its_values(read):
    assert list(read(MOONS).why("meter")) == ["meter.every_n_steps", "meter.flops"]


def test_why_of_an_unknown_key_suggests_one(read):
    with pytest.raises(RecipeError, match=r"optim\.lrr is not in the recipe\. Did you mean 'optim\.lr'\?"):
        read(MOONS).why("optim.lrr")


def test_a_missing_field_is_reported_where_its_section_is_named(read):
    folder = MOONS.replace("points.moons", "points.folder")
    problems = refused(read, MOONS, "data:\n  name: points.folder\n", overrides=["data.labels=x.csv"])
    assert problems == ["b.yaml:2:3: data.root is missing. Expected a path (folder of points). Add it to the section."]
    assert refused(read, folder)[0].startswith("a.yaml:6:11: data.root is missing.")


# Plain data and YAML.

ODD = [
    *(
        "yes",
        "null",
        "1e-3",
        "007",
        "a: b",
        "# x",
        " x ",
        "",
        "ü – 😀",
        "a\nb",
        "\x7f\x85",
        '"',
        "'",
        "-",
        "~",
    ),
    *("12", "true", "[a]", "{a}", "*a", "&a", "!a", "%a", "@a", "`a`", "a,b", "a #b", "C:\\x"),
]


@pytest.mark.parametrize("title", ODD)
def test_any_text_survives_yaml(read, title):
    text = f"title: {json.dumps(title, ensure_ascii=not title.isprintable())}\n"
    resolved = read(MOONS.replace("title: Two moons\n", text))
    assert resolved.recipe.title == title
    assert read(resolved.to_yaml()).recipe == resolved.recipe
    assert yaml.safe_load(resolved.to_yaml())["title"] == title


def test_the_resolved_recipe_reads_back_the_same(read):
    overrides = [
        "optim.lr=1e-5",
        "optim.freeze={'blocks.*': null}",
        "model.named={x.y: 1}",
        "early_stopping.patience=2",
        "optim.min_lr=${optim.weight_decay}",
    ]
    resolved = read(MOONS, overrides=overrides)
    written = resolved.to_yaml()
    assert read(written).recipe == resolved.recipe
    assert yaml.safe_load(written) == resolved.plain()
    lines = {line.split(":")[0].strip(): line.partition("# ")[2] for line in written.splitlines()}
    assert lines["lr"] == "override 'optim.lr=1e-5'"
    assert lines["title"] == "a.yaml:2:1"
    assert lines["momentum"] == "default"
    assert "override 'optim.min_lr=${optim.weight_decay}', '${optim.weight_decay}'" in lines["min_lr"]


def test_a_recipe_survives_json_and_needs_no_data_to_be_read_back(read, plugins, tmp_path):
    Path("points").mkdir()
    recipe = read(MOONS.replace("points.moons", "points.folder, root: points")).recipe
    Path("points").rmdir()
    assert recipe.data.section.root == Path("points")
    assert from_plain(json.loads(json.dumps(recipe.plain())), plugins) == recipe


def test_plain_data_of_an_unknown_field_are_refused_by_their_key(read, plugins):
    data = read(MOONS).plain()
    data["model"]["heads"] = 3
    with pytest.raises(RecipeError, match=r"^model\.heads is not a field of points\.net\. It has width, "):
        from_plain(data, plugins)


def test_every_setting_of_the_host_is_documented_and_in_bounds():
    for name, section in SECTIONS.items():
        for setting in settings(section):
            assert setting.doc, setting
            assert not setting.required or name in SWITCHED_OFF, setting


# What `show` prints.


@pytest.fixture
def show(points, taskkit, tmp_path):
    (tmp_path / "moons.yaml").write_text(MOONS)

    def call(*words: str):
        return taskkit("show", *words, sites=(points,), TASKKIT_PLUGINS="points")

    return call


def test_show_prints_a_resolved_recipe_that_reads_back(show, read):
    ended = show("moons.yaml", "optim.lr=0.5")
    assert ended.returncode == 0, ended.stderr
    assert read(ended.stdout).recipe == read(MOONS, overrides=["optim.lr=0.5"]).recipe
    assert json.loads(show("moons.yaml", "optim.lr=0.5", "--json").stdout)["optim"]["lr"] == 0.5


def test_show_why_prints_one_line_per_origin(show):
    assert show("moons.yaml", "optim.lr=0.5", "--why", "optim.lr").stdout.splitlines() == [
        "optim.lr is 0.5: override 'optim.lr=0.5'",
        "  instead of 0.001: moons.yaml:8:24",
        "  instead of 0.001: default",
    ]


def test_show_of_a_component_prints_its_fields_with_type_default_bounds_doc_and_owner(show):
    said = show("points.net").stdout
    assert "model points.net — The model of a test." in said
    assert "taskkit-points 0.1" in said
    assert re.search(r"^  width: 8 +# a whole number ≥ 1; hidden units$", said, re.MULTILINE)
    assert re.search(r"^  root: … +# required; a path; folder of points$", show("points.folder").stdout, re.MULTILINE)
    described = json.loads(show("points.net", "--json").stdout)
    assert described["fields"][0] == {
        "name": "width",
        "type": "a whole number",
        "required": False,
        "default": 8,
        "bounds": {"ge": 1},
        "doc": "hidden units",
    }


def test_show_of_a_section_prints_its_fields(show):
    assert re.search(
        r"^  lr: 0\.001 +# a number > 0 and ≤ 1000; peak learning rate$", show("optim").stdout, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["points.nett"],
            "There is no recipe, component or section named 'points.nett'. Did you mean 'points.net'?",
        ),
        (["moons.yaml", "--why", "optim.lrr"], "optim.lrr is not in the recipe. Did you mean 'optim.lr'?"),
        (["points.net", "width=3"], "Error: points.net is not a recipe: it takes no changes and no --why."),
        (
            ["points.torn"],
            "points.torn cannot be used: taskkit_points.missing:Torn of taskkit-points 0.1 failed",
        ),
    ],
)
def test_show_explains_what_it_cannot_show(show, words, line):
    ended = show(*words)
    assert ended.returncode == 2
    assert line in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_schema_takes_good_recipes_and_refuses_bad_ones(show):
    schema = json.loads(show("moons.yaml", "--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(MOONS)
    good["optim"] |= {"lr": 1e-3, "weight_decay": "${optim.lr}"}
    assert list(validator.iter_errors(good)) == []
    bad = {
        ("optim", "lrr"): 1,
        ("optim", "lr"): 0,
        ("optim", "schedule"): "cosin",
        ("model", "name"): "points.linear",
        ("model", "sizes"): [0],
        ("model", "scale"): [1],
        ("model", "last"): {"widht": 3},
        ("trainer", "devices"): "all",
        ("trainer", "max_epochs"): 1.5,
        ("loader", "drop_last"): 3,
    }
    for (section, key), value in bad.items():
        wrong = {**good, section: {**good[section], key: value}}
        assert list(validator.iter_errors(wrong)), (section, key, value)
    for kind in KINDS:
        assert list(validator.iter_errors({k: v for k, v in good.items() if k != kind}))
    assert list(validator.iter_errors({**good, "optimiser": {}}))


def test_the_schema_describes_every_field(show):
    schema = json.loads(show("moons.yaml", "--schema").stdout)
    assert schema["properties"]["optim"]["properties"]["lr"]["description"] == "peak learning rate"
    for name, section in SECTIONS.items():
        assert set(schema["properties"][name]["properties"]) == {setting.name for setting in settings(section)}


def test_what_show_prints_as_yaml_fits_its_schema(show):
    schema = json.loads(show("moons.yaml", "--schema").stdout)
    jsonschema.validate(yaml.safe_load(show("moons.yaml").stdout), schema)
