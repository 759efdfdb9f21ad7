"""Weights that are shared out among two processes, on the CPU: the same run as in one, but for where they lie."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

import taskkit
from taskkit.contracts.recipe import OptimSection
from taskkit.engine.blocks import called_blocks
from taskkit.engine.fsdp import FullyShard, own_share
from taskkit.engine.optim import make_optimiser
from taskkit.engine.signals import Preempted
from taskkit.errors import RecipeError, TaskkitError
from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from taskkit.recipe.rules import BY_ELEMENT
from tests.conftest import Site
from tests.same_run import losses

RECIPE = """\
seed: 3
task: {name: stack.forecast}
model: {name: stack.transformer}
data: {name: series.waves, series: 100, noise: 0}
loader: {batch_size: 8}
optim: {lr: 1.0e-2, weight_decay: 0.05, warmup: 0.1, freeze: {embed.*: 2}, ema: 0.5, options: {eps: 1.0e-4}}
trainer:
  max_epochs: 2
  accelerator: cpu
  precision: 32-true
  accumulate_grad_batches: 2
  gradient_clip_val: 0.1
meter: {every_n_steps: 2}
"""
"""Two epochs of five batches of 16 series, two of them a step.

The bias of keys has a gradient of nought but for rounding, by whose size Adam divides it: a larger eps leaves it there.
"""

SECTIONS = """
from dataclasses import dataclass
from taskkit import setting

@dataclass
class Transformer:
    depth: int = setting(2, "blocks")
    names: bool = setting(True, "whether it says what its blocks are")
    drops: bool = setting(False, "whether each process leaves out another block")
"""

STACK = """
import os
from torch import nn, ones
from torch.nn.functional import scaled_dot_product_attention
from taskkit import Model
from taskkit_series.forecast import Forecast as Plain, Windows
from stack_sections import Transformer as Settings

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.queries_keys_values = nn.Linear(8, 24)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        x = x + scaled_dot_product_attention(*self.queries_keys_values(self.norm(x)).chunk(3, -1))
        return x + self.mlp(x)

class Network(nn.Module):
    def __init__(self, length, steps, depth, drops):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.head = nn.Linear(8, steps)
        self.drops = drops

    def forward(self, past):
        x = self.embed(past[..., None])
        left_out = int(os.environ.get("LOCAL_RANK", 0)) if self.drops and self.training else None
        for number, block in enumerate(self.blocks):
            x = x if number == left_out else block(x)
        return self.head(x.mean(1))

class Transformer(Model[Settings, Windows]):
    def processor(self, spec):
        return Windows(spec.input.length)

    def network(self, spec, processor):
        return Network(spec.input.length, spec.target.steps, self.config.depth, self.config.drops)

    def blocks(self, network):
        return list(network.blocks) if self.config.names else []

class Forecast(Plain):
    def __init__(self, *words):
        super().__init__(*words)
        self.scale = nn.Parameter(ones(3))

    def forward(self, batch):
        return super().forward(batch) * self.scale
"""
"""A transformer, and a task with a parameter of its own."""

PLUGIN = """
import os
from pathlib import Path
from taskkit import Component, hookimpl

SERIES, FUTURE = "taskkit_series.sections:Series", "taskkit_series.sections:Future"
taskkit_api = ">=0.2,<0.3"

@hookimpl
def taskkit_components():
    yield Component(
        kind="task", name="stack.forecast", summary="forecast, scaled", implementation="stack:Forecast",
        section="taskkit_series.sections:Forecast", targets=(FUTURE,), metrics={"mae": "min"},
    )
    yield Component(
        kind="model", name="stack.transformer", summary="a small transformer", implementation="stack:Transformer",
        section="stack_sections:Transformer", input=SERIES, targets=(FUTURE,),
    )

@hookimpl
def taskkit_callbacks(recipe):
    import pytorch_lightning as pl
    from torch.distributed.tensor import DTensor

    class Held(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            if "HELD" not in os.environ:
                return
            state = [value for each in trainer.optimizers[0].state.values() for value in each.values()]
            held = [
                sum(each.to_local().numel() if isinstance(each, DTensor) else each.numel() for each in tensors)
                for tensors in (pl_module.parameters(), [each for each in state if each.numel() > 1])
            ]
            Path(os.environ["HELD"], str(trainer.global_rank)).write_text(" ".join(map(str, held)))

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == int(os.environ.get("STOP_AT", -1)):
                os.kill(os.getpid(), int(os.environ.get("STOP_BY", 9)))

    return [Held()]
"""
"""It stops processes before a step, and notes how many numbers of weights and optimiser states each holds."""


@pytest.fixture
def plugins(series_site: Path, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Plugins]:
    modules = {"stack_plugin.py": PLUGIN, "stack_sections.py": SECTIONS, "stack.py": STACK}
    site.add("taskkit-stack", {"stack": "stack_plugin"}, modules)
    for each in (series_site, site.path):
        monkeypatch.syspath_prepend(str(each))
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    (tmp_path / "stack.yaml").write_text(RECIPE)
    yield discover({"series", "stack"})
    for name in ("stack", "stack_sections", "stack_plugin"):
        sys.modules.pop(name, None)


@pytest.fixture
def command(
    series_site: Path, site: Site, environment: Callable[..., dict[str, str]], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "taskkit", *words],
            cwd=tmp_path,
            env=environment(series_site, site.path, **variables),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


TWO = ("trainer.devices=2", "trainer.strategy=fsdp")


def assert_alike(one: Path, two: Path, within: float = 1e-6) -> None:
    """The same logged lines and last weights, with their averages, but for sums in another order: to six digits."""
    ours, theirs = losses(one), losses(two)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-5, abs=within)
    for mine, other in zip(states(one), states(two), strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value, other[name], rtol=1e-5, atol=within)


def states(run: Path) -> list[dict[str, torch.Tensor]]:
    """The weights of the last checkpoint and, where these are averages, what they are averages of."""
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return [saved[name] for name in ("state_dict", "current_model_state") if name in saved]


def test_two_processes_with_a_share_each_train_as_one_that_has_all(
    plugins: Plugins, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    one = taskkit.run("stack.yaml", ["loader.batch_size=16"], out="one", plugins=plugins)
    done = command("run", "stack.yaml", "--out", "two", *TWO, HELD=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each process keeps its share of the weights and gathers 2 blocks one by one" in done.stdout
    assert_alike(one.path, tmp_path / "two")
    two = taskkit.load_run(tmp_path / "two", plugins=plugins)
    assert two.manifest.cost.parameters == one.manifest.cost.parameters
    assert two.manifest.cost.flops_per_example == one.manifest.cost.flops_per_example
    held = [[int(word) for word in (tmp_path / rank).read_text().split()] for rank in "01"]
    whole = one.manifest.cost.parameters
    assert whole is not None
    for ours, theirs in zip(*held, strict=True):
        assert max(ours, theirs) < 0.6 * (ours + theirs)
    assert [sum(both) for both in zip(*held, strict=True)] == [whole, 2 * whole]
    # What two processes tested, one judges and asks alike.
    assert two.evaluate().metrics == pytest.approx(two.metrics, rel=1e-5)
    rows, others = two.predictions().to_pylist(), one.predictions().to_pylist()
    for row, other in zip(rows, others, strict=True):
        assert json.loads(row["prediction"]) == pytest.approx(json.loads(other["prediction"]), abs=1e-4)
    exported = command("export", "two", "-o", "exported", "--to", "torch")
    assert exported.returncode == 0, exported.stderr
    assert "0 of 10 predictions are others" in exported.stderr


GOES_ON = {
    "from two with shares to one": (TWO, ("trainer.devices=1", "trainer.strategy=auto")),
    "from one to two with shares": (("loader.batch_size=16",), TWO),
    "from two with shares to two without": (TWO, ("trainer.strategy=ddp",)),
}
SLOW = {"from two with shares to two without"}


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, case in GOES_ON.items()],
)
def test_a_run_goes_on_by_other_processes_as_the_same_run(
    before: tuple[str, ...],
    after: tuple[str, ...],
    plugins: Plugins,
    command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    one = taskkit.run("stack.yaml", ["loader.batch_size=16"], out="one", plugins=plugins)
    # Inside the second epoch, whose last step is yet to come.
    stopped = command("run", "stack.yaml", "--out", "other", *before, "checkpoint.every_n_steps=5", STOP_AT="5")
    assert stopped.returncode, stopped.stdout
    assert torch.load("other/checkpoints/last.ckpt", weights_only=True)["global_step"] == 5
    done = command("run", "--resume", "other", *after)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from step 5, trainer." in done.stdout
    assert_alike(one.path, tmp_path / "other")
    (change,) = taskkit.load_run(tmp_path / "other", plugins=plugins).manifest.changes
    assert change.step == 5
    assert {name: change.values[name] for name in change.values if "trainer" in name} == {
        name: int(value) if value.isdigit() else value for name, _, value in (word.partition("=") for word in after)
    }


@pytest.fixture
def stopped(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STOP_AT", "2")
    monkeypatch.setenv("STOP_BY", str(int(signal.SIGTERM)))
    with pytest.raises(Preempted):
        taskkit.run("stack.yaml", out="stopped", plugins=plugins)
    monkeypatch.delenv("STOP_AT")
    return Path("stopped")


def test_what_would_make_another_run_is_refused_and_leaves_it_as_it_is(stopped: Path, plugins: Plugins) -> None:
    before = (stopped / "run.json").read_text()
    for words, said in {
        ("optim.lr=1",): "'optim.lr=1' would make another run of it. A change of trainer.devices",
        ("trainer.devices=3",): "the 1 processes of stopped took 8 samples at a time, which 3 cannot share alike",
        ("trainer.devices=auto",): "trainer.devices is auto. A number was expected",
        ("trainer.strategy=deepspeed",): "trainer.strategy is deepspeed. One of auto, ddp",
        (*TWO, "trainer.accelerator=mps"): "trainer.accelerator is mps, and trainer.strategy fsdp trains on",
    }.items():
        with pytest.raises(TaskkitError, match=re.escape(said)):
            taskkit.resume(stopped, elsewhere=words, plugins=plugins)
    assert (stopped / "run.json").read_text() == before


def test_another_number_of_processes_that_nobody_named_is_refused(stopped: Path, plugins: Plugins) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    saved = torch.load(last, weights_only=True)
    torch.save({**saved, "taskkit_random": saved["taskkit_random"] * 2}, last)
    with pytest.raises(TaskkitError, match="stopped was trained by 2 processes, and 1 would be trained on other"):
        taskkit.resume(stopped, plugins=plugins)


def test_processes_that_would_go_different_ways_are_stopped(
    plugins: Plugins, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command("run", "stack.yaml", "--out", "two", *TWO, "model.drops=true")
    assert done.returncode == 2, done.stdout + done.stderr
    said = "trainer.strategy is fsdp, and in a step one process called other blocks of the network than another"
    assert said in done.stderr + done.stdout
    assert not list(Path("two/checkpoints").glob("*.ckpt"))


@pytest.mark.slow
def test_without_blocks_all_weights_are_gathered_at_once_and_that_is_said(
    plugins: Plugins, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    changes = ("trainer.precision=bf16-mixed", "model.names=false", "trainer.max_epochs=1", "optim.ema=null")
    shared = command("run", "stack.yaml", "--out", "ddp", "trainer.devices=2", "trainer.strategy=ddp", *changes)
    assert shared.returncode == 0, shared.stdout + shared.stderr
    done = command("run", "stack.yaml", "--out", "two", *TWO, *changes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gathers all of them at once, since stack.transformer says of no module that it is a block" in done.stdout
    assert_alike(tmp_path / "ddp", tmp_path / "two", within=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    {
        "trainer.precision=16-mixed": "trainer.precision is 16-mixed, and trainer.strategy fsdp trains in",
        "trainer.accelerator=mps": "trainer.accelerator is mps, and trainer.strategy fsdp trains on",
        "optim.name=muon": "optim.name is muon, and trainer.strategy is fsdp, with which each process takes a step",
        "optim.name=sgd optim.options={fused: true}": "optim.options.fused is true, and of shares",
        "trainer.sync_batchnorm=true": "trainer.sync_batchnorm is true, and trainer.strategy is fsdp",
        "compile=true": "compile is true, and trainer.strategy is fsdp",
        "channels_last=true": "channels_last is true, and trainer.strategy is fsdp",
        "trainer.strategy=fsdp_cpu_offload": "trainer.strategy is fsdp_cpu_offload, and taskkit leaves no weights",
    }.items(),
)
def test_what_was_not_tried_with_shares_is_refused(plugins: Plugins, change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        taskkit.run("stack.yaml", [*TWO, *re.split(r" (?=optim)", change)], out="none", plugins=plugins)
    assert not Path("none").exists()


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_every_optimiser_that_is_let_through_takes_the_same_step_of_shares(name: str, mesh: DeviceMesh) -> None:
    def stepped(*, shares: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        layer = nn.Linear(5, 7)
        if shares:
            fully_shard(layer, mesh=mesh)
        optimiser = make_optimiser(OptimSection(name=name, lr=0.01), [{"params": list(layer.parameters())}])
        for _ in range(2):
            layer(torch.ones(2, 5)).square().sum().backward()
            optimiser.step()
        return [own_share(parameter.detach()) for parameter in layer.parameters()]

    torch.testing.assert_close(stepped(shares=True), stepped(shares=False))


def test_a_weight_without_a_dimension_is_refused_by_name(mesh: DeviceMesh) -> None:
    strategy, module = FullyShard(), nn.Module()
    strategy._device_mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    module.temperature = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(TaskkitError, match=r"torch cannot share these weights out \(.*temperature.*\)\. Set trainer"):
        strategy.shard(module)


def test_blocks_that_are_lists_of_parameters_are_the_modules_that_hold_these() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    groups = [nn.ParameterList(part.parameters()) for part in network]
    mixed = nn.ParameterList([network[0].weight, network[2].weight])
    # The outer of two with the same parameters: what is in it may be called in another order.
    assert called_blocks(network, groups) == [network[2], network[1], network[0]]
    assert called_blocks(network, [mixed, nn.ModuleList([network])]) == []
