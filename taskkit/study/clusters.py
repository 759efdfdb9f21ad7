"""Runs on a cluster of Ray, or as jobs of SLURM through submitit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from taskkit.errors import TaskkitError
from taskkit.study.extras import imported
from taskkit.study.file import Launch
from taskkit.study.launch import Job, Orphan, threads
from taskkit.study.remote import Remote

SAVING_SECONDS = 120
"""Before the end of a job's time, when it is told so."""
FAILED = 1
"""The exit code of a task or a job that was lost."""


class OnRay:
    """Tasks of a cluster of Ray, the one of `address` or a local one; raises PluginError where Ray is missing."""

    def __init__(self, section: Launch) -> None:
        self.places = section.processes
        self._ray = imported("ray")
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if section.address is None:
            cores = max(section.processes * section.cpus, os.cpu_count() or 1)
            settings |= {"include_dashboard": False, "num_cpus": cores}
        else:
            settings |= {"address": section.address}
        try:
            self._ray.init(**settings)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise TaskkitError(
                f"launch.address is {section.address!r}: no cluster of Ray can be used there ({error}). Start one by "
                "`ray start`, or leave address out for a local one."
            ) from error
        self._call = self._ray.remote(num_cpus=section.cpus, num_gpus=section.gpus, max_retries=0)(_call)

    def start(self, work: Remote, place: int) -> Job:
        """Submit a task."""
        return _RayTask(self._ray, self._call.remote(work))

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _call(work: Remote) -> int:
    return work()


class _RayTask:
    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self._reference = reference

    def ended(self) -> int | None:
        """Its exit code; None: it goes on."""
        ready, _ = self._ray.wait([self._reference], timeout=0)
        if not ready:
            return None
        try:
            return int(self._ray.get(self._reference))
        except Exception:  # cancelled, or its worker or node was lost: what came of the run is in its directory
            return FAILED

    def stop(self) -> None:
        """Interrupt it, so that the run saves itself."""
        self._ray.cancel(self._reference)

    def kill(self) -> None:
        """End its worker."""
        self._ray.cancel(self._reference, force=True)


class OnSlurm:
    """Jobs of SLURM, or the same as processes here; raises PluginError where submitit is missing."""

    def __init__(self, section: Launch, folder: Path) -> None:
        self.places = section.processes
        self._submitit = imported("submitit")
        self._slurm = section.cluster == "slurm"
        self._folder = folder
        try:
            if self._slurm:
                self._executor = self._submitit.SlurmExecutor(folder=folder)
                self._executor.update_parameters(**parameters(section))
            else:
                self._executor = self._submitit.LocalExecutor(folder=folder)
                self._executor.update_parameters(timeout_min=section.minutes, gpus_per_node=int(section.gpus))
        except (RuntimeError, ValueError, NameError) as error:
            raise TaskkitError(
                f"launch: no job can be submitted here ({error}). Start the study where `sbatch` is, or try it by "
                "`cluster: local`."
            ) from error

    def start(self, work: Remote, place: int) -> Job:
        """Submit a job."""
        return _SlurmJob(self._executor.submit(work), work.run)

    def close(self) -> None:
        """Nothing is left: jobs go on by themselves."""


class _SlurmJob:
    def __init__(self, job: Any, run: Path) -> None:
        self._job = job
        self._process = Orphan(run, lambda: False)

    def ended(self) -> int | None:
        """Its exit code; None: it waits or goes on."""
        if not self._job.done():
            self._process.ended()
            return None
        try:
            return int(self._job.result())
        except Exception:  # cancelled, or its node was lost: what came of the run is in its directory
            return FAILED

    def stop(self) -> None:
        """Cancel it: SLURM sends SIGTERM to all of its processes; here the run alone is sent it."""
        if hasattr(self._job, "_process"):
            self._process.stop()
        else:
            self._job.cancel(check=False)

    def kill(self) -> None:
        """Cancel it."""
        self._process.kill()
        with suppress(Exception):
            self._job.cancel(check=False)


def parameters(section: Launch) -> Mapping[str, Any]:
    """What sbatch is told."""
    known = {
        "time": section.minutes,
        "partition": section.partition,
        "account": section.account,
        "mem": section.memory,
        "cpus_per_task": section.cpus,
        "gpus_per_node": int(section.gpus) or None,
        "signal_delay_s": SAVING_SECONDS,
        "additional_parameters": dict(section.options) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def script(section: Launch, folder: Path) -> str:
    """The script that sbatch would be handed for each run; raises PluginError where submitit is missing."""
    imported("submitit")
    from submitit.slurm.slurm import _make_sbatch_string

    text: str = _make_sbatch_string("python -m submitit.core._submit FOLDER", folder, **parameters(section))
    return text


def held_threads(section: Launch) -> str | None:
    """OMP_NUM_THREADS of each run: on a cluster as many as it has cores there, here as in processes of a study."""
    if section.kind == "slurm" and section.cluster == "slurm":
        return os.environ.get("OMP_NUM_THREADS", str(section.cpus))
    return threads(section.processes).get("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS"))
