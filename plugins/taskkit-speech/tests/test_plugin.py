import dataclasses
import subprocess
import sys
from typing import get_args

import pytest

from taskkit import DataModule, Model, Task
from taskkit.contracts.component import load
from taskkit_speech import plugin

COMPONENTS = list(plugin.taskkit_components())


def test_declaring_and_checking_load_no_torch():
    code = (
        "import sys\n"
        "from taskkit.contracts.component import load\n"
        "from taskkit_speech import plugin\n"
        "for component in plugin.taskkit_components():\n"
        "    for reference in filter(None, (component.section, component.input, *component.targets)):\n"
        "        load(reference)\n"
        "heavy = {'torch', 'torchaudio', 'transformers', 'numpy', 'soundfile', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_what_is_declared_exists(component):
    base = {"task": Task, "model": Model, "data": DataModule}[component.kind]
    implementation, section = load(component.implementation), load(component.section)
    assert issubclass(implementation, base)
    assert get_args(implementation.__orig_bases__[0])[0] is section
    assert component.name.startswith("speech.")


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_every_setting_says_what_it_is(component):
    for field in dataclasses.fields(load(component.section)):
        assert field.metadata.get("doc"), field.name


def test_recipes_are_those_in_the_package():
    assert all(recipe.path.is_file() for recipe in plugin.taskkit_recipes())
