"""Blobs: points of four classes that any network tells apart, with a model, a task and data that can be made wrong."""

from pathlib import Path

import pytest
import torch

from taskkit.plugins.discovery import discover
from taskkit.plugins.registry import Plugins
from tests.conftest import Site

PLUGIN = """
from dataclasses import dataclass

from taskkit import CLASSIFICATION_METRICS as METRICS
from taskkit import ClassificationSection, Component, Fact, hookimpl, setting


@dataclass(frozen=True)
class Points(Fact):
    pass


@dataclass
class Net:
    fault: str = setting("", "what is wrong")


@dataclass
class Task(ClassificationSection):
    fault: str = setting("", "what is wrong")


@dataclass
class Data:
    fault: str = setting("", "what is wrong")
    count: int = setting(200, "examples")


@hookimpl
def taskkit_components():
    points, classes = "blobs_plugin:Points", "taskkit:Classes"
    return [
        Component("task", "blobs.task", "which", "blobs:Choose", "blobs_plugin:Task", "", (classes,), METRICS),
        Component("model", "blobs.net", "a net", "blobs:Net", "blobs_plugin:Net", points, (classes,)),
        Component("data", "blobs.data", "blobs", "blobs:Blobs", "blobs_plugin:Data", points, (classes,)),
    ]
"""
CODE = """
import torch
from torch import nn

from taskkit import Classes, Classification, DataModule, DataSpec, Example, Model, Prepared, Processor
from blobs_plugin import Points


class Blobs(DataModule):
    def prepare(self, target):
        random = torch.Generator().manual_seed(0)
        points = torch.randn(self.config.count, 8, generator=random)
        points[torch.arange(len(points)), torch.arange(len(points)) % 4] += 4
        if self.config.fault == "alike":
            points[:] = 1.0
        examples = [Example(str(n), point, n % 4) for n, point in enumerate(points)]
        spec = DataSpec(Points(), Classes(tuple("abcd")), f"blobs-{self.config}")
        train, val = int(0.6 * len(examples)), int(0.8 * len(examples))
        test = [] if self.config.fault == "untested" else examples[val:]
        return Prepared(spec, {"train": examples[:train], "val": examples[train:val], "test": test})


class Reads(Processor):
    def encode(self, example):
        return [{"point": example.input, "target": torch.tensor(example.target)}]

    def settings(self):
        return {}


class Network(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.hidden, self.dropout, self.head = nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 4)
        if fault == "huge":
            nn.init.normal_(self.head.weight, std=100.0)
        if fault == "vast":
            self.vast = nn.Parameter(torch.zeros(1).expand(10**14))

    def forward(self, point):
        if self.fault.startswith("greed") and len(point) > (0 if self.fault == "greediest" else 4):
            torch.empty(10**15)
        seen = self.dropout(self.hidden(point).relu())
        return self.head(seen * 0 if self.fault == "constant" else seen)


class Net(Model):
    def processor(self, spec):
        return Reads()

    def network(self, spec, processor):
        return Network(self.config.fault)

    def blocks(self, network):
        return [network.hidden, network.head]


class Choose(Classification):
    def step(self, batch):
        if self.config.fault == "killed":
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.fault == "shuffled":
            batch = {**batch, "target": batch["target"][torch.randperm(len(batch["target"]))]}
        return super().step(batch)

    def chance(self):
        return {"silent": None, "words": "two"}.get(self.config.fault, super().chance())
"""
RECIPE = """\
title: Blobs
task: {name: blobs.task}
model: {name: blobs.net}
data: {name: blobs.data}
loader: {batch_size: 16}
optim: {lr: 1.0e-2}
trainer: {max_epochs: 3, accelerator: cpu, precision: 32-true}
"""


@pytest.fixture
def plugins(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The plugin of the blobs, for this process and those that it starts; the recipe is blobs.yaml."""
    site.add("taskkit-blobs", {"blobs": "blobs_plugin"}, {"blobs_plugin.py": PLUGIN, "blobs.py": CODE})
    monkeypatch.syspath_prepend(str(site.path))
    monkeypatch.setenv("PYTHONPATH", str(site.path))
    monkeypatch.setenv("TASKKIT_PLUGINS", "blobs")
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("blobs.yaml").write_text(RECIPE)
    return discover({"blobs"})
