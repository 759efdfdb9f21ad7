"""The trackers that a recipe may name, each by Lightning's own logger; its library is imported when it begins."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from taskkit.contracts.recipe import MlflowSection, TrackersSection, WandbSection
from taskkit.runs.manifest import Status
from taskkit.runs.record import write_atomically

BEGIN_SECONDS, FINISH_SECONDS = 30, 60
"""How long Weights & Biases may take to begin, and to send what is left when a run ends, all of which stays on disk."""
LONGEST_TAG = 64
"""Characters of a tag of Weights & Biases."""


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run when it begins."""

    folder: Path
    """Of all trackers of the run; absolute."""
    tags: Mapping[str, str]
    """Its `title`, `seed`, name (`run`) and `headline`, and the `changes` in the midst of it."""
    recipe: Mapping[str, Any]
    """As plain data."""
    changes: int
    """How often it was changed in the midst of it."""
    lines: int
    """How many lines of metrics there are already."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The recipe, and the tags beside it."""
        return {**self.recipe, "tags": dict(self.tags)}


class Tracker:
    """A run as a tracker keeps it, made anew from the first line on whenever the run goes on."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger
        self.told = 0
        """How many lines it has."""

    def line(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Take a line of metrics; the first one is number 1."""
        self.told = number
        self.logger.log_metrics(dict(values), step)
        self.logger.save()

    def tested(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Take the metrics of the test, which are the last line."""
        self.line(number, step, values)

    def end(self, status: Status) -> None:
        """The run ended, for now or for good."""
        self.logger.finalize("success" if status == "finished" else "failed")


class Csv(Tracker):
    """A table, and the recipe beside it."""

    def __init__(self, about: About) -> None:
        _remove(about.folder / "csv")
        super().__init__(CSVLogger(about.folder, name="csv", version=""))
        self.logger.log_hyperparams(about.parameters)


class TensorBoard(Tracker):
    """Scalars, the recipe as a text and, with the test, a row of hyperparameters."""

    def __init__(self, about: About) -> None:
        _remove(about.folder / "tensorboard")
        logger = TensorBoardLogger(about.folder, name="tensorboard", version="", default_hp_metric=False)
        super().__init__(logger)
        self.parameters = about.parameters
        text = json.dumps(self.parameters, indent=2, default=str)
        logger.experiment.add_text("recipe", f"```json\n{text}\n```", 0)

    def tested(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Take the metrics of the test, and the hyperparameters that gave them."""
        assert isinstance(self.logger, TensorBoardLogger)
        self.told = number
        self.logger.log_hyperparams(self.parameters, dict(values), step)
        self.logger.save()


@dataclass(frozen=True)
class Known:
    """What the run directory knows of a run that a tracker keeps for itself."""

    run: str | None = None
    """The tracker's id of it."""
    lines: int = 0
    """How many lines it was told."""
    changes: int = 0
    """How often the run was changed until then."""


class Kept(Tracker):
    """A run as a tracker keeps it that takes nothing back: each line is told once, however often the run goes on.

    Where a run was changed its lines are others, and are told again from there. How many were told is written before
    the last of them is: where a run is killed in between, the tracker lacks a line rather than having it twice.
    """

    def __init__(self, logger: Logger, path: Path, known: Known) -> None:
        super().__init__(logger)
        self.told = known.lines
        self._path = path
        self._known = known

    def line(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Take a line of metrics; the first one is number 1."""
        self._known = replace(self._known, lines=number)
        _keep(self._path, self._known)
        super().line(number, step, values)


class Mlflow(Kept):
    """A run of an experiment in MLflow."""

    def __init__(self, about: About, section: MlflowSection) -> None:
        import mlflow

        for name in (mlflow.__name__, "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        path, own = about.folder / "mlflow.json", about.folder / "mlflow"
        known, uri = _known(path, about), section.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            own.mkdir(exist_ok=True)
        logger = MLFlowLogger(
            section.experiment,
            run_name=about.tags["title"],
            tracking_uri=uri or f"sqlite:///{own}/mlflow.db",
            tags=dict(about.tags),
            artifact_location=None if uri else str(own / "artifacts"),
            run_id=known.run,
        )
        with _unchanged("MLFLOW_TRACKING_URI"):
            run = logger.run_id
        if known.run is None:
            logger.log_hyperparams(_flat(about.parameters))
        else:
            logger.experiment.update_run(run, status="RUNNING")
            for name, text in about.tags.items():
                logger.experiment.set_tag(run, name, text)
        known = replace(known, run=run)
        _keep(path, known)
        super().__init__(logger, path, known)

    def end(self, status: Status) -> None:
        """The run ended, for now or for good."""
        self.logger.finalize({"finished": "FINISHED", "failed": "FAILED"}.get(status, "KILLED"))


class Wandb(Kept):
    """A run of a project in Weights & Biases; offline, files that are made anew whenever the run goes on."""

    def __init__(self, about: About, section: WandbSection) -> None:
        import wandb

        path, before = about.folder / "wandb.json", [*(about.folder / "wandb").glob("offline-run-*")]
        known = _known(path, about)
        known = replace(known, run=known.run or uuid.uuid4().hex[:12])
        _keep(path, known)
        # Silent, it asks nobody for a key. What is printed may quote examples, and so may changes of the code.
        with _unchanged("WANDB_SERVICE"):
            wandb.setup(settings=wandb.Settings(silent=True))
        self.run = wandb.init(
            id=known.run,
            resume="allow",
            reinit="create_new",
            project=section.project,
            entity=section.entity,
            group=section.group,
            mode=section.mode,
            name=about.tags["title"],
            tags=[f"{name}={text}"[:LONGEST_TAG] for name, text in about.tags.items()],
            dir=about.folder,
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                silent=True,
                init_timeout=BEGIN_SECONDS,
                finish_timeout=FINISH_SECONDS,
            ),
        )
        if self.run.offline:
            # What was in no file yet when a run was killed is lost, and nobody can tell how much that is.
            for folder in before:
                shutil.rmtree(folder)
            known = replace(known, lines=0)
        self.run.define_metric("trainer/global_step")
        self.run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        super().__init__(WandbLogger(experiment=self.run), path, known)
        self.logger.log_hyperparams(about.parameters)

    def end(self, status: Status) -> None:
        """The run ended, for now or for good."""
        if status == "preempted":
            self.run.mark_preempting()
        self.run.finish(exit_code=0 if status == "finished" else 1)


def beginnings(section: TrackersSection, about: About) -> dict[str, Callable[[], Tracker]]:
    """What begins each tracker that is on, by its name."""
    found: dict[str, Callable[[], Tracker]] = {}
    if section.csv:
        found["csv"] = partial(Csv, about)
    if section.tensorboard:
        found["tensorboard"] = partial(TensorBoard, about)
    if section.mlflow:
        found["mlflow"] = partial(Mlflow, about, MlflowSection() if section.mlflow is True else section.mlflow)
    if section.wandb:
        found["wandb"] = partial(Wandb, about, WandbSection() if section.wandb is True else section.wandb)
    return found


_ADDRESS = re.compile(r"//[^/\s@]*@")
_SECRET = re.compile(r"KEY|PASSWORD|SECRET|TOKEN|TRACKING_URI")
"""In the names of variables whose values let somebody in."""


def without_secrets(text: str) -> str:
    """The text without what the environment keeps secret, and without names and passwords in addresses."""
    values = [value for name, value in os.environ.items() if _SECRET.search(name) and len(value) > 3]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return _ADDRESS.sub("//…@", text)


def _known(path: Path, about: About) -> Known:
    """What is known of a run, less the lines that a change since then made others of."""
    known = Known(**json.loads(path.read_text())) if path.exists() else Known()
    lines = min(known.lines, about.lines) if known.changes < about.changes else known.lines
    return replace(known, lines=lines, changes=about.changes)


def _keep(path: Path, known: Known) -> None:
    write_atomically(path, json.dumps(asdict(known)) + "\n")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _unchanged(name: str) -> Iterator[None]:
    """Put a variable of the environment back, which a library changes for all runs of this process and its children."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values by `section/name`, what is nested deeper as JSON: MLflow refuses most characters in a name."""
    flat: dict[str, Any] = {}
    for name, value in parameters.items():
        inside = value if isinstance(value, Mapping) else {}
        flat |= {f"{name}/{key}": json.dumps(v) if isinstance(v, Mapping) else v for key, v in inside.items()}
        flat |= {} if isinstance(value, Mapping) else {name: value}
    return flat
