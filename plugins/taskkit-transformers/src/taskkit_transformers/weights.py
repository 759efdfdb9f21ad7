"""Where pretrained weights come from, a run, a folder or the model hub, and how they get into a network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logs
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as logs

from taskkit import CheckpointError, Download, LoadedRun, Local, Origin, SourceError, fetch, load_run
from taskkit_transformers.configuration import CONFIG, KEY, checked_config, reason

log = logging.getLogger("taskkit")

WEIGHTS = "model.safetensors"

Save = Callable[[str, Path], None]
"""Puts what belongs to a model beside its weights, such as a tokenizer: of a name on the hub, into a folder."""


def is_run(weights: str) -> bool:
    """Whether these are a run of taskkit."""
    return (Path(weights).expanduser() / "run.json").is_file()


def open_run(weights: str, model: str) -> LoadedRun:
    """The run whose encoder another one begins with; raises CheckpointError when it is of no such `model`."""
    run = load_run(Path(weights).expanduser())
    name = run.manifest.resolved["model"]["name"]
    if name != model:
        raise CheckpointError(
            f"{KEY}: {weights} is a run of {name}. One of {model} was expected, whose encoder this one can begin with. "
            "Name another run."
        )
    return run


def find_model(
    name: str, file: str, save: Save, *, pretrained: bool = True, entry: str | None = None
) -> tuple[Path, Origin]:
    """A folder that holds the configuration of a model, and its weights if they are wanted, and where it came from.

    `name` is a folder, or a name on the model hub, of which `save` keeps `file` too, in the `entry` of the cache.
    Raises SourceError.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        kind = "*.safetensors" if any(folder.glob("*.safetensors")) or not any(folder.glob("*.bin")) else "*.bin"
        files = {CONFIG: None, kind: None} if pretrained else {CONFIG: None}
        if lacking := [each for each in files if not any(folder.glob(each))]:
            raise SourceError(
                f"{KEY}={name}: this folder has no {' and no '.join(lacking)}. A {CONFIG}, a {file} and a {WEIGHTS} "
                f"were expected, or the directory of a run. Correct {KEY}."
            )
        return fetch(folder.name, files, [Local(folder)], key=KEY)
    hub = Download(f"{name} on the model hub", partial(_download, name, save, pretrained))
    wanted = [CONFIG, file, WEIGHTS] if pretrained else [CONFIG, file]
    return fetch(entry or name, dict.fromkeys(wanted), [hub], key=KEY)


def read_weights(folder: Path, settings: Mapping[str, Any], optional: tuple[str, ...] = ()) -> Mapping[str, Tensor]:
    """The weights by name, of any shapes, of a model in a folder; those whose names begin as `optional` says may lack.

    `settings` is its configuration as plain data. Raises CheckpointError when some are missing or of another shape.
    """
    kind = settings["model_type"]
    try:
        with quiet():
            model, report = AutoModel.from_pretrained(
                folder,
                config=AutoConfig.for_model(**settings),
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # A damaged file can raise anything.
        raise CheckpointError(
            f"{folder}: its weights cannot be read as {kind}: {reason(error)}. A {WEIGHTS} of that kind was expected. "
            f"Correct {KEY} or model.overrides."
        ) from error
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(optional)):
        raise CheckpointError(
            f"{folder}: its weights lack {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}. All "
            f"weights of {kind} were expected. Correct {KEY} or model.overrides."
        )
    if unused := sorted(report["unexpected_keys"]):
        log.info(
            "%s: %d weights that this encoder has no place for are not used, as %s", folder, len(unused), unused[0]
        )
    return dict(model.state_dict())


def fill(network: nn.Module, weights: Mapping[str, Tensor], where: str, names: Mapping[str, str] | None = None) -> None:
    """Put weights by name, of any shapes, into a network; `where` they are from is for its errors.

    `names` tells for each weight that is to be there its name in the network; None: all of the network, by its own
    names. Raises CheckpointError when some are missing or of another shape.
    """
    names = {name: name for name in network.state_dict()} if names is None else names
    try:
        network.load_state_dict({name: weights[given] for given, name in names.items()}, strict=False)
    except KeyError as error:
        raise CheckpointError(
            f"{where}: its weights lack {error.args[0]}. All weights of this encoder were expected. Correct {KEY} or "
            "model.overrides."
        ) from None
    except RuntimeError as error:
        raise CheckpointError(
            f"{where}: its weights do not fit ({str(error).splitlines()[1].strip()}). Those of the same shape were "
            f"expected. Correct {KEY} or model.overrides."
        ) from None


def _download(name: str, save: Save, pretrained: bool, folder: Path) -> None:
    """Let transformers fetch a model in its way, and keep it in ours."""
    try:
        # The client of the hub logs each of its tries; the last one becomes our error.
        with _errors_alone(hub_logs):
            checked_config(name).save_pretrained(folder)
            save(name, folder)
            if pretrained:
                model = AutoModel.from_pretrained(name, dtype=torch.float32, trust_remote_code=False)
                model.save_pretrained(folder, max_shard_size="1TB")
    except OSError as error:
        # transformers names what it looked for, and keeps to itself why it was not had.
        raise OSError(f"{' '.join(str(error).split())} ({reason(_root(error))})") from error


def _root(error: Exception) -> Exception:
    """The first of the errors that led to one."""
    while isinstance(before := error.__cause__, Exception):
        error = before
    return error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from logging in its own way what is reported here, and from drawing a bar."""
    bar = logs.is_progress_bar_enabled()
    logs.disable_progress_bar()
    try:
        with _errors_alone(logs):
            yield
    finally:
        if bar:
            logs.enable_progress_bar()


@contextmanager
def _errors_alone(library: Any) -> Iterator[None]:
    """Let a library log nothing but errors; `library` is its module of logging."""
    verbosity = library.get_verbosity()
    library.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
