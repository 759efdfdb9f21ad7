"""The facts and settings of the plugin, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskkit import Fact, SelfSupervised, setting

MODULES = ["argparse", "configparser", "difflib", "email.message", "http.cookiejar", "inspect", "ipaddress", "logging"]


@dataclass(frozen=True)
class Text(Fact):
    """Each input is a text."""

    def tensors(self) -> Mapping[str, str]:
        """`tokens`: texts one after another, cut into rows of one length."""
        return {"tokens": "int (rows, block)"}


@dataclass(frozen=True)
class Next(SelfSupervised):
    """Each target is the token that follows."""

    def tensors(self) -> Mapping[str, str]:
        """`target`: what follows each of the tokens."""
        return {"target": "int (rows, block)"}


@dataclass
class Language:
    """Settings of the task: none."""


@dataclass
class Generate:
    """What `taskkit predict` takes to go on with a text."""

    max_new_tokens: int = setting(100, "bytes to generate at most", ge=1)
    temperature: float = setting(0.8, "how bold a choice may be; 0: always the likeliest byte")
    seed: int = setting(0, "decides every random choice", ge=0)


@dataclass
class Gpt:
    """Settings of the model."""

    context: int = setting(32, "tokens that the network sees at once", ge=2)
    width: int = setting(48, "size of a token's vector", ge=1)
    depth: int = setting(2, "blocks", ge=1)
    heads: int = setting(4, "attention heads; they share the width", ge=1)
    dropout: float = setting(0.1, "share of what a block adds that is left out in training", ge=0, lt=1)


@dataclass
class Docstrings:
    """Settings of the data."""

    modules: list[str] = setting(MODULES, "modules of Python's standard library whose docstrings are read")
    val: float = setting(0.1, "share of the docstrings to validate on", ge=0, lt=1)
    test: float = setting(0.1, "share of the docstrings to test on", ge=0, lt=1)
