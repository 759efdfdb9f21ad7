"""Models that bring code of their own: it is never run, and nobody is stopped to decide whether it may be."""

import io
import json
import sys

import pytest

from taskkit import CheckpointError
from taskkit_transformers import fresh_model, overridden, read_configuration, weights

CODE = {
    "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"},
    "_attn_implementation_internal": "theirs/kernel",
    "_experts_implementation_internal": "theirs/kernel",
    "_attn_implementation": "theirs/kernel",
    "attn_implementation": {"": "theirs/kernel@main"},
}
"""Keys of a config.json by which transformers would load code."""


@pytest.fixture(autouse=True)
def ready(monkeypatch):
    """Somebody who would say yes to everything; what is left of the answers is what nobody waited for."""
    answers = io.StringIO("y\n" * 9)
    monkeypatch.setattr(sys, "stdin", answers)
    yield
    assert answers.read() == "y\n" * 9


@pytest.fixture
def folder(folder, tmp_path):
    """A folder of a model, with code beside it that leaves a mark when it runs."""
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    yield folder
    assert not (tmp_path / "mark").exists()


def change(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("key", CODE)
def test_a_folder_that_names_code_is_refused_by_the_name_of_the_key(folder, key, known):
    change(folder, **{key: CODE[key]}, **({} if known else {"model_type": "theirs"}))
    with pytest.raises(CheckpointError, match=rf"model\.weights=.*model: config\.json has '{key}', which names"):
        read_configuration(folder)


def test_code_that_is_named_further_inside_is_found(folder):
    change(folder, parts=[{"text_config": {"_attn_implementation_internal": "theirs/kernel"}}])
    with pytest.raises(CheckpointError, match="has '_attn_implementation_internal'"):
        read_configuration(folder)


def test_attention_that_transformers_has_itself_is_no_code(folder):
    change(folder, _attn_implementation="eager", attn_implementation=None)
    assert "_attn_implementation" not in read_configuration(folder)


def test_nothing_is_kept_of_a_model_on_the_hub_that_names_code(folder, tmp_path):
    change(folder, auto_map=CODE["auto_map"])
    kept = tmp_path / "kept"
    kept.mkdir()
    # transformers fetches a model by its name on the hub or by its folder alike.
    with pytest.raises(CheckpointError, match="has 'auto_map'"):
        weights._download(str(folder), lambda *_: None, True, kept)
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("key", CODE)
def test_overrides_that_name_code_are_refused(folder, key):
    for overrides in ({key: CODE[key]}, {"text_config": {key: CODE[key]}}):
        with pytest.raises(CheckpointError, match=f"model.overrides has '{key}'"):
            overridden(read_configuration(folder), overrides)


def test_a_checkpoint_that_names_a_kernel_is_refused(folder):
    for inside in ({"_attn_implementation": "theirs/kernel"}, {"text_config": {"auto_map": CODE["auto_map"]}}):
        with pytest.raises(CheckpointError, match="this encoder's shape has"):
            fresh_model({**read_configuration(folder), **inside})


def test_a_run_of_old_that_kept_the_name_of_code_is_rebuilt_without_it(folder):
    settings = read_configuration(folder)
    model = fresh_model({**settings, "auto_map": CODE["auto_map"]})
    assert model.config.model_type == settings["model_type"]
