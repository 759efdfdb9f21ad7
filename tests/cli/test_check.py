"""What is wrong with a recipe is said before any work: all of it, each in one line, with its place."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskkit.cli import Context
from taskkit.cli.check import command
from taskkit.contracts.component import KINDS
from taskkit.contracts.recipe import SECTIONS
from taskkit.plugins.discovery import discover
from taskkit.wording import TELL_AUTHORS
from tests.conftest import PACKAGES

MOONS = (PACKAGES / "taskkit-points/src/taskkit_points/moons.yaml").read_text()


@pytest.fixture
def check(points, monkeypatch, tmp_path):
    """Call `taskkit check` in a directory with moons.yaml; the exit code, and the lines on stdout "
    "and stderr."""
    monkeypatch.syspath_prepend(points)
    monkeypatch.chdir(tmp_path)
    Path("moons.yaml").write_text(MOONS)
    context = Context()
    context.plugins = discover(["points"])

    def call(*words: str):
        result = CliRunner().invoke(command, words, obj=context)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()

    return call


def test_a_good_recipe_gives_one_line_and_exit_code_0(check):
    assert check("moons.yaml") == (0, ["moons.yaml: no problems"], [])


MISTAKES_IN_THE_FILE = {
    "an unknown section": (
        "optimizer: {lr: 1}",
        "bad.yaml:1:1: optimizer is not a section of a recipe. Did you mean 'optim'?",
    ),
    "a field outside of its section": (
        "max_epochs: 3",
        "bad.yaml:1:1: max_epochs is not a section of a recipe. Did you mean 'trainer.max_epochs'?",
    ),
    "an unknown key": (
        "optim: {lrr: 1}",
        "bad.yaml:1:9: optim.lrr is not a field of the optim section. Did you mean 'lr'?",
    ),
    "an unknown key of a component": (
        "model: {widht: 4}",
        "bad.yaml:1:9: model.widht is not a field of points.net. Did you mean 'width'?",
    ),
    "an unknown key of a nested section": (
        "model:\n  last:\n    widht: 4",
        "bad.yaml:3:5: model.last.widht is not a field of model.last. Did you mean 'width'?",
    ),
    "a key like no other": (
        "meter: {zzz: 4}",
        "bad.yaml:1:9: meter.zzz is not a field of the meter section. It has every_n_steps, flops.",
    ),
    "an unknown task": (
        "task: {name: points.clasification}",
        "bad.yaml:1:8: No task named 'points.clasification'. Did you mean 'points.classification'?",
    ),
    "a plugin that is not installed": (
        "data: {name: smells.roses}",
        "bad.yaml:1:8: No data named 'smells.roses'. No plugin named 'smells' is installed. "
        "Where it is a file of yours, name it with --plugin FILE; `taskkit plugins search` lists what is published.",
    ),
    "a name in place of a section": (
        "task: points.classification",
        "bad.yaml:1:1: task is 'points.classification'. Write `task: {name: points.classification}`.",
    ),
    "text in place of a section": (
        "optim: adamw",
        "bad.yaml:1:1: optim is 'adamw'. Expected a mapping of its fields. Leave it out for the defaults.",
    ),
    "an empty section": (
        "loader:",
        "bad.yaml:1:1: loader is null. Expected a mapping of its fields. Leave it out for the defaults.",
    ),
    "text for a whole number": (
        "loader: {batch_size: big}",
        "bad.yaml:1:10: loader.batch_size is 'big'. Expected a whole number ≥ 1. Leave it out for 32, the default.",
    ),
    "a fraction for a whole number": (
        "loader: {batch_size: 1.5}",
        "bad.yaml:1:10: loader.batch_size is 1.5. Expected a whole number ≥ 1. Leave it out for 32, the default.",
    ),
    "a quoted number": (
        "optim: {lr: '0.1'}",
        "bad.yaml:1:9: optim.lr is '0.1'. Expected a number > 0 and ≤ 1000. Write it without quotes.",
    ),
    "true for a number": (
        "optim: {lr: true}",
        "bad.yaml:1:9: optim.lr is true. Expected a number > 0 and ≤ 1000. Leave it out for 0.001, the default.",
    ),
    "a number for true": (
        "loader: {drop_last: 5}",
        "bad.yaml:1:10: loader.drop_last is 5. Expected true or false. Leave it out for true, the default.",
    ),
    "false for text": (
        "title: false",
        "bad.yaml:1:1: title is false. Expected text. Put it in quotes.",
    ),
    "null for a number": (
        "optim:\n  lr:\n",
        "bad.yaml:2:3: optim.lr is null. Expected a number > 0 and ≤ 1000. Leave it out for 0.001, the default.",
    ),
    "a number that is none": (
        "optim: {lr: .nan}",
        "bad.yaml:1:9: optim.lr is nan. Expected a number > 0 and ≤ 1000. Leave it out for 0.001, the default.",
    ),
    "an item of the wrong type": (
        "model:\n  sizes:\n  - 4\n  - x",
        "bad.yaml:4:5: model.sizes.1 is 'x'. Expected a whole number.",
    ),
    "a number out of bounds": (
        "optim: {lr: -1}",
        "bad.yaml:1:9: optim.lr is -1. Expected a number > 0 and ≤ 1000. Leave it out for 0.001, the default.",
    ),
    "an item out of bounds": (
        "model: {sizes: [4, 0]}",
        "bad.yaml:1:20: model.sizes.1 is 0. Expected a number ≥ 1.",
    ),
    "too few items": (
        "model: {scale: [1]}",
        "bad.yaml:1:9: model.scale is [1]. Expected a list of 2: a number, a number. "
        "Leave it out for [0.5, 2.0], the default.",
    ),
    "a misspelt choice": (
        "optim: {schedule: cosin}",
        "bad.yaml:1:9: optim.schedule is 'cosin'. Expected cosine, linear, exponential or constant. "
        "Did you mean 'cosine'?",
    ),
    "a hold that leaves the rate no step to fall": (
        "optim: {warmup: 0.4, hold: 0.6}",
        "bad.yaml:1:22: optim.hold is 0.6 and optim.warmup 0.4, which leaves the rate no step to fall. "
        "Expected shares whose sum is below 1.",
    ),
    "a rate that falls by ratios to nothing": (
        "optim: {schedule: exponential, min_lr: 0}",
        "bad.yaml:1:32: optim.min_lr is 0, which an exponential schedule never reaches. "
        "Expected a share of lr, such as 0.05.",
    ),
    "a precision by its bits": (
        "trainer: {precision: 16}",
        "bad.yaml:1:11: trainer.precision is 16. Expected auto, 32-true, 16-mixed, bf16-mixed, 16-true, "
        "bf16-true, 64-true, transformer-engine or transformer-engine-float16. Did you mean '16-mixed'?",
    ),
    "an unknown strategy": (
        "trainer: {strategy: ddpp}",
        "bad.yaml:1:11: trainer.strategy is 'ddpp'. Expected auto, ddp, ddp_find_unused_parameters_true, "
        "ddp_spawn, fsdp, fsdp_cpu_offload, deepspeed, deepspeed_stage_1, deepspeed_stage_2 or "
        "deepspeed_stage_3. Did you mean 'ddp'?",
    ),
    "devices that are no number": (
        "trainer: {devices: all}",
        "bad.yaml:1:11: trainer.devices is 'all'. Expected a whole number ≥ 1 and ≤ 1024 or auto. "
        "Leave it out for 1, the default.",
    ),
    "a misspelt optimiser": (
        "optim: {name: adamww}",
        "bad.yaml:1:9: optim.name is 'adamww', which is no optimiser. Did you mean 'adamw'?",
    ),
    "a missing field": (
        "data: {name: points.folder}",
        "bad.yaml:1:8: data.root is missing. Expected a path (folder of points). Add it to the section.",
    ),
    "a missing folder": (
        "data: {name: points.folder, root: nowhere}",
        "bad.yaml:1:29: data.root: there is no folder 'nowhere'. Expected one with points in it.",
    ),
    "what a section refuses itself": (
        "model: {width: 3}",
        "bad.yaml:1:9: model.width: 3 is odd. Expected an even number. Write 4.",
    ),
    "a length given twice": (
        "trainer: {max_steps: 10}",
        "bad.yaml:1:11: trainer.max_steps is 10 and trainer.max_epochs is 2. Expected one of them. "
        "Remove the other, or set it to null.",
    ),
    "a day that is none": (
        "privacy: {retain_until: 2027-02-30}",
        "bad.yaml:1:11: privacy.retain_until is '2027-02-30', which is no day. One such as 2027-01-31 was expected.",
    ),
    "no length": (
        "trainer: {max_epochs: null}",
        "moons.yaml:9:1: neither trainer.max_epochs nor trainer.max_steps is given. Expected one. Add max_epochs.",
    ),
    "a warm-up longer than training": (
        "trainer: {max_epochs: null, max_steps: 100}\noptim: {warmup: 100}",
        "bad.yaml:2:9: optim.warmup is 100 steps, but training ends after 100 (trainer.max_steps). "
        "Expected fewer. Write a share of all steps, such as 0.1.",
    ),
    "a share of steps above one": (
        "optim: {warmup: 1.5}",
        "bad.yaml:1:9: optim.warmup is 1.5. Expected a share below 1, or a whole number of steps.",
    ),
    "betas out of range": (
        "optim: {betas: [0.9, 1]}",
        "bad.yaml:1:9: optim.betas is [0.9, 1.0]. Expected two numbers from 0 to below 1, such as [0.9, 0.999].",
    ),
    "three betas": (
        "optim: {betas: [0.9, 0.9, 0.9]}",
        "bad.yaml:1:9: optim.betas is [0.9, 0.9, 0.9]. Expected two numbers from 0 to below 1, such as [0.9, 0.999].",
    ),
    "a share of batches above one": (
        "trainer: {limit_train_batches: 2.5}",
        "bad.yaml:1:11: trainer.limit_train_batches is 2.5. Expected a share up to 1, or a whole number of "
        "batches. Write 2 or 3.",
    ),
    "clipping without a value": (
        "trainer: {gradient_clip_algorithm: value}",
        "bad.yaml:1:11: trainer.gradient_clip_algorithm is value, but gradient_clip_val is null, so "
        "nothing is "
        "clipped. Give trainer.gradient_clip_val.",
    ),
    "uneven batches on several devices": (
        "trainer: {devices: 2}\nloader: {drop_last: false}",
        "bad.yaml:2:10: loader.drop_last is false, but processes that train together need as many "
        "batches each. "
        "Set it to true, or train on one device.",
    ),
    "a pattern that is none": (
        "optim: {freeze: {'blocks.[0': null}}",
        "bad.yaml:1:9: optim.freeze: 'blocks.[0' is no pattern of parameter names. Write one such as 'blocks.0.*'.",
    ),
    "freezing beyond the end": (
        "trainer: {max_epochs: null, max_steps: 100}\noptim:\n  freeze:\n    blocks.*: 100",
        "bad.yaml:4:5: optim.freeze: blocks.* is kept fixed until step 100, but training ends after 100. "
        "Write null for the whole run.",
    ),
    "the wrong direction": (
        "early_stopping: {monitor: val/loss, mode: max}",
        "bad.yaml:1:37: early_stopping.mode is max, but val/loss is better the smaller it is. Write min.",
    ),
    "the wrong direction of a metric that the task declares": (
        "early_stopping: {monitor: hits@10, mode: min}",
        "bad.yaml:1:36: early_stopping.mode is min, but hits@10 is better the larger it is. Write max.",
    ),
    "a mistyped metric": (
        "early_stopping: {monitor: val/acuracy}",
        "bad.yaml:1:18: early_stopping.monitor is 'val/acuracy', which is no metric of points.classification. "
        "Expected one of accuracy, calibration_error, hits@10, loss. Did you mean 'accuracy'?",
    ),
    "a metric of another task": (
        "early_stopping: {monitor: perplexity, mode: min}",
        "bad.yaml:1:18: early_stopping.monitor is 'perplexity', which is no metric of points.classification. "
        "Expected one of accuracy, calibration_error, hits@10, loss.",
    ),
    "a direction of nothing": (
        "early_stopping: {mode: max}",
        "bad.yaml:1:18: early_stopping.mode is max without a monitor, and the task knows how its own metric "
        "goes. Name a monitor, or remove mode.",
    ),
    "a metric of training": (
        "early_stopping: {monitor: train/loss, mode: min}",
        "bad.yaml:1:18: early_stopping.monitor is 'train/loss'. Expected a metric of validation. "
        "Did you mean 'val/loss'?",
    ),
    "stopping early without validation": (
        "early_stopping: {patience: 2}\ntrainer: {limit_val_batches: 0}",
        "bad.yaml:1:1: early_stopping watches validation, but trainer.limit_val_batches is 0. Set it to null.",
    ),
    "data that do not suit the task": (
        "data: {name: points.dictation}",
        "bad.yaml:1:8: task points.classification needs Classes as targets; data points.dictation "
        "states Words. "
        "Data that fit: points.folder, points.moons, points.old.",
    ),
    "data that do not suit the model": (
        "data: {name: points.noise}",
        "bad.yaml:1:8: model points.net needs Points as inputs; data points.noise states Sounds. "
        "Data that fit: points.folder, points.moons, points.old.",
    ),
    "a model that cannot answer the task": (
        "task: {name: points.spelling}\ndata: {name: points.dictation}",
        "moons.yaml:5:11: task points.spelling needs Words as targets; model points.net answers Classes or "
        "Hidden. No installed model fits task points.spelling and data points.dictation; choose another task.",
    ),
    "a section that does not import": (
        "data: {name: points.torn}",
        "bad.yaml:1:8: points.torn cannot be used: taskkit_points.missing:Torn of taskkit-points 0.1 "
        "failed to "
        f"load (ModuleNotFoundError: No module named 'taskkit_points.missing'). {TELL_AUTHORS}",
    ),
    "a fact that is none": (
        "data: {name: points.odd}",
        "bad.yaml:1:8: points.odd cannot be used: taskkit_points.sections:NOT_A_FACT of "
        "taskkit-points 0.1 is "
        f"not a taskkit.Fact. {TELL_AUTHORS}",
    ),
    "a section with unreadable types": (
        "model: {name: points.unreadable}",
        "bad.yaml:1:9: points.unreadable cannot be used: taskkit_points.sections:Unreadable of "
        "taskkit-points "
        "0.1 is not a dataclass of readable types (NameError: name 'Nowhere' is not defined). "
        f"{TELL_AUTHORS}",
    ),
    "a section that fails to check itself": (
        "model: {name: points.clumsy}",
        f"bad.yaml:1:9: points.clumsy could not check its section (ZeroDivisionError: of course). {TELL_AUTHORS}",
    ),
    "a number where text belongs": (
        "title: 1E234",
        "bad.yaml:1:1: title is 1e+234. Expected text. Put it in quotes.",
    ),
    "an octal of older YAML": (
        "seed: 010",
        "bad.yaml:1:1: seed is '010'. Expected a whole number ≥ 0 and < 4294967296. Leave it out for 0, the default.",
    ),
    "a time of older YAML": (
        "optim: {lr: 1:30}",
        "bad.yaml:1:9: optim.lr is '1:30'. Expected a number > 0 and ≤ 1000. Leave it out for 0.001, the default.",
    ),
    "a reference instead of a section": (
        "early_stopping: ${checkpoint}",
        "bad.yaml:1:1: early_stopping is '${checkpoint}'. Expected a mapping of its fields. Leave it out for the "
        "defaults.",
    ),
    "a call": (
        "title: ${oc.env:HOME}",
        "bad.yaml:1:1: title: '${oc.env:HOME}' calls a resolver. A recipe only refers to its own keys. Write a value.",
    ),
    "a key given twice": (
        "title: a\nseed: 1\ntitle: b",
        "bad.yaml:3:1: title is given twice, first at bad.yaml:1:1. Keep one of them.",
    ),
    "a tab": (
        "optim:\n\tlr: 1",
        "bad.yaml:2:1: a tab stands where YAML wants spaces. Indent with spaces.",
    ),
    "a tag": (
        "title: !!python/object/apply:os.system ['true']",
        "bad.yaml:1:8: the tag !!python/object/apply:os.system is refused: a recipe is plain data. Remove the tag.",
    ),
    "an alias": (
        "optim: {lr: &x 1, ema: *x}",
        "bad.yaml:1:13: aliases (`*name`) are not read in recipes. Use ${key} to repeat a value.",
    ),
    "a list in place of a recipe": (
        "- a\n- b",
        "bad.yaml:1:1: a recipe is a mapping of sections, this is ['a', 'b']. Write `key: value` lines.",
    ),
    "an open bracket": (
        "title: a\noptim: {lr: 1",
        "bad.yaml:2:14: this is not YAML: expected ',' or '}', but got '<stream end>'. "
        "Check indentation, brackets, quotes and colons here.",
    ),
    "a colon too many": (
        "title: a: b",
        "bad.yaml:1:9: this is not YAML: mapping values are not allowed here. "
        "Check indentation, brackets, quotes and colons here.",
    ),
    "two documents": (
        "title: a\n---\ntitle: b",
        "bad.yaml:2:1: this is not YAML: but found another document. "
        "Check indentation, brackets, quotes and colons here.",
    ),
    "a control character": (
        "title: a\nseed: \x01",
        "bad.yaml:2:7: the control character 0x01 is not allowed in YAML. Remove it.",
    ),
    "an empty file": (
        "# nothing",
        "bad.yaml:1:1: the file is empty. A recipe holds sections such as `model: {name: image.vit}`.",
    ),
    "brackets without end": (
        "title: " + "[" * 5000,
        "bad.yaml:1:27: a recipe has at most 20 levels of sections and lists. Use fewer.",
    ),
}


@pytest.mark.parametrize(("text", "line"), MISTAKES_IN_THE_FILE.values(), ids=MISTAKES_IN_THE_FILE)
def test_a_mistake_in_a_file_gives_one_clear_line_and_exit_code_2(check, text, line):
    Path("bad.yaml").write_text(text)
    code, out, err = check("moons.yaml", "bad.yaml")
    assert err == [line]
    assert (code, out) == (2, [])


MISTAKES_ON_THE_COMMAND_LINE = {
    "a rate that no weight would survive": (
        ("moons.yaml", "optim.lr=1E234"),
        "override 'optim.lr=1E234': optim.lr is 1e+234. Expected a number > 0 and ≤ 1000. "
        "Leave it out for 0.001, the default.",
    ),
    "more devices than a machine has": (
        ("moons.yaml", "trainer.devices=10000"),
        "override 'trainer.devices=10000': trainer.devices is 10000. Expected a whole number ≥ 1 and ≤ 1024 or auto. "
        "Leave it out for 1, the default.",
    ),
    "a strategy of other devices": (
        ("moons.yaml", "trainer.strategy=deepspeed", "trainer.accelerator=cpu"),
        "override 'trainer.strategy=deepspeed': trainer.strategy is deepspeed, which needs GPUs, and "
        "trainer.accelerator is cpu. Write ddp or auto.",
    ),
    "a network that is compiled and shared out": (
        ("moons.yaml", "trainer.strategy=fsdp", "compile=true"),
        "override 'compile=true': compile is true, and trainer.strategy is fsdp, with which nobody tried it. Set it to "
        "false, or trainer.strategy=ddp.",
    ),
    "a network that is compiled and computed twice": (
        ("moons.yaml", "activation_checkpointing=true", "compile=true"),
        "override 'activation_checkpointing=true': activation_checkpointing and compile are both true, and nobody "
        "tried them together. Set one to false.",
    ),
    "an optimiser of several passes": (
        ("moons.yaml", "optim.name=LBFGS"),
        "override 'optim.name=LBFGS': optim.name is lbfgs, which takes several passes over a batch for one step. "
        "Expected an optimiser that takes one, such as adamw.",
    ),
    "a change without a key": (
        ["moons.yaml", "=5"],
        "override '=5': this is not a change. Expected KEY=VALUE with a dotted key, such as optim.lr=1e-3.",
    ),
    "a change with an empty part": (
        ["moons.yaml", "optim..lr=5"],
        "override 'optim..lr=5': this is not a change. Expected KEY=VALUE with a dotted key, such as optim.lr=1e-3.",
    ),
    "a value that is not YAML": (
        ["moons.yaml", "optim.betas=[0.9"],
        "override 'optim.betas=[0.9': this is not YAML: expected ',' or ']', but got '<stream end>'. "
        "Check indentation, brackets, quotes and colons here.",
    ),
    "a misspelt key": (
        ["moons.yaml", "optim.lrr=5"],
        "override 'optim.lrr=5': optim.lrr is not a field of the optim section. Did you mean 'lr'?",
    ),
    "a value of the wrong type": (
        ["moons.yaml", "optim.lr=fast"],
        "override 'optim.lr=fast': optim.lr is 'fast'. Expected a number > 0 and ≤ 1000. "
        "Leave it out for 0.001, the default.",
    ),
    "a missing value": (
        ["moons.yaml", "optim.lr="],
        "override 'optim.lr=': optim.lr is null. Expected a number > 0 and ≤ 1000. "
        "Leave it out for 0.001, the default.",
    ),
    "an item of a list": (
        ["moons.yaml", "model.sizes.0=5"],
        "override 'model.sizes.0=5': model.sizes is a mapping. "
        "Expected a list, each item a whole number ≥ 1. "
        "Leave it out for [4, 4], the default.",
    ),
    "a change without an equals sign": (
        ["moons.yaml", "optim.lr", "5"],
        "optim.lr: there is no such file, and no recipe of this name. `taskkit list recipes` shows those "
        "installed; a change is written KEY=VALUE.",
    ),
    "a missing file": (
        ["./mons.yaml"],
        "./mons.yaml: there is no such file, and no recipe of this name. Did you mean 'moons.yaml'?",
    ),
    "a misspelt recipe": (
        ["mooms"],
        "mooms: there is no such file, and no recipe of this name. Did you mean 'moons'?",
    ),
    "a directory": (
        ["."],
        ".: this is a directory. Expected a recipe file, such as moons.yaml.",
    ),
    "nothing but changes": (
        ["optim.lr=5"],
        "No recipe was given. Expected a path or a name, such as recipes/vit.yaml.",
    ),
    "a new name for a section whose key is gone": (
        ["moons.yaml", "model.name=points.linear", "model.width=3"],
        "override 'model.width=3': model.width is not a field of points.linear. It has none.",
    ),
}


@pytest.mark.parametrize(("words", "line"), MISTAKES_ON_THE_COMMAND_LINE.values(), ids=MISTAKES_ON_THE_COMMAND_LINE)
def test_a_mistake_on_the_command_line_gives_one_clear_line_and_exit_code_2(check, words, line):
    code, out, err = check(*words)
    assert line in err
    assert (code, out) == (2, [])


def test_a_file_that_is_not_utf_8_is_refused_at_its_first_bad_byte(check):
    Path("bad.yaml").write_bytes(b"seed: 1\ntitle: M\xf6nch\n")
    assert check("moons.yaml", "bad.yaml")[2] == [
        "bad.yaml:2:9: byte 0xf6 is not UTF-8. A recipe is text. Save the file as UTF-8."
    ]


def test_no_text_whatever_ends_in_a_traceback(check):
    pieces = [
        *MOONS.split(" "),
        "${",
        "}",
        ":",
        "\t",
        "[",
        "]",
        "{",
        "*a",
        "&a",
        "!x",
        "'",
        '"',
        "\n",
        "- ",
        "\x00",
        "???",
    ]
    chance = random.Random(0)
    for _ in range(300):
        words = MOONS.split(" ")
        for _ in range(chance.randrange(1, 6)):
            words[chance.randrange(len(words))] = chance.choice(pieces)
        Path("any.yaml").write_text(" ".join(words))
        code, _, err = check("any.yaml")
        assert code == (2 if err else 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(check):
    Path("moons.yaml").chmod(0)
    assert check("moons.yaml")[2] == [
        "moons.yaml: cannot be read (Permission denied). Expected a recipe file. Check its permissions."
    ]


def test_all_problems_of_all_kinds_come_at_once(check):
    Path("bad.yaml").write_text("optimizer: {}\noptim: {lrr: 1, betas: [1, 1]}\ntrainer: {max_epochs: two}\n")
    code, _, err = check("moons.yaml", "bad.yaml", "data.name=points.noise", "model.width=3")
    assert code == 2
    assert [line.partition(": ")[0] for line in err] == [
        "bad.yaml:1:1",
        "bad.yaml:2:9",
        "bad.yaml:3:11",
        "bad.yaml:2:17",
        "override 'model.width=3'",
        "override 'data.name=points.noise'",
    ]


def test_a_recipe_without_components_is_told_what_there_is(check):
    Path("bare.yaml").write_text("trainer: {max_epochs: 1}\n")
    code, _, err = check("bare.yaml")
    assert code == 2
    assert err[0] == (
        "bare.yaml:1:1: the recipe has no task. Write `task: {name: …}`; one of "
        "points.classification, points.hidden, points.spelling."
    )
    assert [line.split()[5] for line in err] == [f"{kind}." for kind in KINDS]


@pytest.mark.parametrize("section", [*KINDS, *SECTIONS, "model.last"])
def test_no_key_of_any_section_is_ignored(check, section):
    # A section that is off unless it is given may need something, of which it is told too that it is not there.
    needed = ["distil.teacher=runs/teacher"] if section == "distil" else []
    code, _, err = check("moons.yaml", *needed, f"{section}.surely_not_a_field=1")
    assert code == 2
    assert len(err) == 1 + len(needed)
    assert f"{section}.surely_not_a_field is not a field of " in err[0]


def test_a_task_that_makes_its_own_targets_takes_any_data_of_its_input(check):
    assert check("moons.yaml", "task.name=points.hidden")[0] == 0
    assert check("moons.yaml", "task.name=points.hidden", "data.name=points.dictation")[0] == 0
    assert check("moons.yaml", "task.name=points.hidden", "data.name=points.noise")[0] == 2


def test_a_subclass_of_a_fact_fits_where_the_fact_is_needed(check):
    """points.moons states Planar; points.net needs Points."""
    assert check("moons.yaml")[0] == 0


def test_a_reference_to_where_a_fact_lay_before_is_the_same_fact(check):
    """points.old states `taskkit.spec:Classes`, which points.classification judges as `taskkit:Classes`."""
    assert check("moons.yaml", "data.name=points.old") == (0, ["moons.yaml: no problems"], [])


@pytest.mark.parametrize("monitor", ["accuracy", "val/accuracy", "hits@10", "val/loss"])
def test_a_metric_that_the_task_declares_may_be_watched_and_needs_no_direction(check, monitor):
    assert check("moons.yaml", f"early_stopping.monitor={monitor}") == (0, ["moons.yaml: no problems"], [])


def test_nothing_is_known_of_the_metrics_of_a_task_that_declares_none_but_of_its_loss(check):
    hidden = ["moons.yaml", "task.name=points.hidden"]
    assert check(*hidden, "early_stopping.monitor=val/anything")[0] == 0
    _, _, (line,) = check(*hidden, "early_stopping.monitor=loss", "early_stopping.mode=max")
    assert line.endswith("early_stopping.mode is max, but loss is better the smaller it is. Write min.")


def test_neither_what_fits_the_task_alone_nor_what_is_broken_is_suggested(check):
    """points.dictation would suit the model, points.noise the task, and the section of points.torn does not import."""
    _, _, (line,) = check("moons.yaml", "data.name=points.noise")
    assert "points.dictation" not in line
    assert "points.torn" not in line
    _, _, (line,) = check("moons.yaml", "data.name=points.dictation")
    assert "points.noise" not in line.partition("Data that fit")[2]


def test_what_a_new_name_drops_is_said_and_no_problem(check):
    code, out, err = check("moons.yaml", "model.name=points.linear")
    assert (code, out) == (0, ["moons.yaml: no problems"])
    assert err == [
        "override 'model.name=points.linear': model.name is now points.linear, "
        "so these settings of points.net are dropped: width."
    ]


def test_json_holds_every_problem_with_its_place_and_key(check):
    code, out, err = check("moons.yaml", "optim.lrr=1", "--json")
    assert (code, err) == (2, [])
    assert json.loads("\n".join(out)) == {
        "recipe": ["moons.yaml"],
        "ok": False,
        "notes": [],
        "problems": [
            {
                "where": "override 'optim.lrr=1'",
                "key": "optim.lrr",
                "message": "optim.lrr is not a field of the optim section. Did you mean 'lr'?",
            }
        ],
        "data": [],
        "ahead": [],
    }
    assert json.loads("\n".join(check("moons.yaml", "--json")[1]))["ok"] is True


# In a process of its own.


@pytest.mark.parametrize(
    "words",
    [
        ["moons.yaml", "optim.lrr=1"],
        ["moons.yaml", "task.name=points.clasification"],
        ["moons.yaml", "title=${oc.env:HOME}"],
        ["nowhere.yaml"],
        ["torn.yaml"],
        ["moons.yaml", "data.name=points.torn"],
    ],
)
def test_the_command_line_ends_with_2_and_no_traceback(taskkit, points, tmp_path, words):
    (tmp_path / "moons.yaml").write_text(MOONS)
    (tmp_path / "torn.yaml").write_text("title: [")
    ended = taskkit("check", *words, sites=(points,), TASKKIT_PLUGINS="points")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "words", [["check", "moons.yaml"], ["show", "moons.yaml"], ["show", "points.net"], ["show", "optim"]]
)
def test_checking_and_showing_load_neither_torch_nor_omegaconf(environment, points, tmp_path, words):
    (tmp_path / "moons.yaml").write_text(MOONS)
    source = "import sys\nfrom taskkit.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", source, *words],
        cwd=tmp_path,
        env=environment(points, TASKKIT_PLUGINS="points"),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert not {"torch", "pytorch_lightning", "omegaconf", "numpy"} & set(ended.stderr.split())
