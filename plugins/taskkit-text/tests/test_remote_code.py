"""Models that bring code of their own: it is never run, and nobody is stopped to decide whether it may be."""

import io
import json
import shutil
import sys

import pytest

from taskkit import CheckpointError, Classes, DataSpec
from taskkit_text import sections
from taskkit_text.encoder import build
from taskkit_text.facts import Text
from taskkit_text.transformer import Transformer

SPEC = DataSpec(Text(), Classes(("a", "b", "c")), "f")
CODE = {
    "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model", "AutoTokenizer": ["theirs.T", None]},
    "_attn_implementation_internal": "theirs/kernel",
    "_experts_implementation_internal": "theirs/kernel",
    "_attn_implementation": "theirs/kernel",
    "attn_implementation": {"": "theirs/kernel@main"},
}
"""Keys of a config.json by which transformers would load code."""


@pytest.fixture
def ready(monkeypatch):
    """Somebody who would say yes to everything; what is left of the answers is what nobody waited for."""
    answers = io.StringIO("y\n" * 9)
    monkeypatch.setattr(sys, "stdin", answers)
    yield
    assert answers.read() == "y\n" * 9


@pytest.fixture
def folder(encoder_folder, tmp_path, ready):
    """A folder of an encoder, with code beside it that leaves a mark when it runs."""
    folder = shutil.copytree(encoder_folder(), tmp_path / "encoder")
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
    yield folder
    assert not (tmp_path / "mark").exists()


def change(file, **values):
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.exists() else {}), **values}))


def fitted(folder, **settings):
    processor = Transformer(sections.Transformer(str(folder), max_length=32, **settings)).processor(SPEC)
    processor.fit([])
    return processor


@pytest.mark.parametrize("kind", ["bert", "theirs"])
@pytest.mark.parametrize("key", CODE)
def test_a_folder_that_names_code_is_refused_by_the_name_of_the_key(folder, key, kind):
    change(folder / "config.json", model_type=kind, **{key: CODE[key]})
    for pretrained in (True, False):
        with pytest.raises(CheckpointError, match=rf"model\.weights=.*encoder: config\.json has '{key}', which names"):
            fitted(folder, pretrained=pretrained)


@pytest.mark.parametrize("kind", ["bert", "theirs"])
def test_a_tokenizer_that_names_code_is_refused_where_it_would_be_read(folder, kind):
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["theirs.T", None]}, tokenizer_class=kind)
    fitted(folder)  # from tokenizer.json alone
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json has 'auto_map'"):
        fitted(folder)


@pytest.mark.parametrize("key", CODE)
def test_overrides_that_name_code_are_refused(folder, key):
    for overrides in ({key: CODE[key]}, {"text_config": {key: CODE[key]}}):
        with pytest.raises(CheckpointError, match=f"model.overrides has '{key}'"):
            fitted(folder, overrides=overrides)


def test_a_checkpoint_that_names_a_kernel_is_refused(folder):
    encoder = fitted(folder).encoder
    for inside in ({"_attn_implementation": "theirs/kernel"}, {"text_config": {"auto_map": CODE["auto_map"]}}):
        with pytest.raises(CheckpointError, match="this encoder's shape has"):
            build({**encoder, **inside}, packed=False)
