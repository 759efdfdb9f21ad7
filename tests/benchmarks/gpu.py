"""All that is to be known of a CUDA device, in one call of some minutes that needs no network.

python tests/benchmarks/gpu.py run --out docs/results/gpu [--wheels FOLDER] [--cache FOLDER] [--minutes 9]
python tests/benchmarks/gpu.py run --out /tmp/tiny --tiny
python tests/benchmarks/gpu.py page

It installs taskkit from a folder of wheels, where one is given, runs the tests that need a CUDA device, trains each
recipe for one, and times five networks beside a loop written by hand and Hugging Face's Trainer. Each stage is a
process with a share of the time, and leaves its results in a JSON file of its own, row by row: what a stage or a call
that is ended found so far stays. Times are of one network alone with `--stages vit_b16`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `-P` leaves it out

from on_device import page
from on_device.conducting import INSTALL, RECIPES, TESTS, WORKS, Call
from on_device.kept import ROOT, Kept, begun

STAGES = (INSTALL, TESTS, RECIPES, *WORKS)
RESULTS = ROOT / "docs" / "results"


def main() -> None:
    """Do what the command line says."""
    a = parser().parse_args()
    a.do(a)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = top.add_subparsers(required=True, metavar="run|page")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--tiny", action="store_true", help="all of it in small on the CPU, to see that it works")
    shared.add_argument("--wheels", type=Path, help="install from this folder of wheels; left out: as it is")
    shared.add_argument("--cache", type=Path, help="taskkit's cache, with the data that recipes name")
    shared.add_argument("--scratch", type=Path, help="where data are made up and runs are left; left out: nowhere")
    shared.add_argument("--recipes", nargs="+", metavar="NAME", help="train these alone")
    shared.add_argument("--together", type=int, default=6, help="recipes that are trained at a time (6)")
    shared.add_argument("--repetitions", type=int, help="of the timed rows at most; left out: as time allows")
    shared.add_argument("--peak-tflops", type=float, help="the device's dense bf16 peak; left out: by its name")
    shared.add_argument("--commit", help="what is measured, where there is no checkout of git")

    run_ = modes.add_parser("run", parents=[shared], help="all stages")
    run_.add_argument("--out", type=Path, required=True, help="the folder of the results")
    run_.add_argument("--minutes", type=float, default=9.0, help="that the call takes at most (9)")
    run_.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, metavar="STAGE", help=" ".join(STAGES))
    run_.set_defaults(do=run)

    stage_ = modes.add_parser("stage", parents=[shared])
    stage_.add_argument("stage", choices=STAGES)
    stage_.add_argument("--until", type=float, required=True)
    stage_.add_argument("--out", type=Path, required=True)
    stage_.add_argument("--command", required=True)
    stage_.set_defaults(do=stage)

    page_ = modes.add_parser("page", help=f"render the results into {page.PAGE}")
    page_.add_argument("folder", type=Path, nargs="?", default=RESULTS)
    page_.set_defaults(do=lambda a: (a.folder / page.PAGE).write_text(page.page(a.folder / page.FOLDER)))
    return top


def run(a: argparse.Namespace) -> None:
    """Run the stages in turn; ends with 1 where one failed."""
    if RECIPES in a.stages and a.recipes:
        _refuse_unknown(a.recipes)
    command = shlex.join(["python", *sys.argv])
    stages = [each for each in STAGES if each in a.stages and (each != INSTALL or a.wheels)]
    with _scratch(a.scratch) as scratch:
        options = ["--scratch", str(scratch), "--together", str(a.together), "--command", command]
        named = {"cache": a.cache, "wheels": a.wheels, "repetitions": a.repetitions, "peak-tflops": a.peak_tflops}
        for name, value in {**named, "commit": a.commit}.items():
            options += [] if value is None else [f"--{name}", str(value.resolve() if name in PATHS else value)]
        options += ["--tiny"] if a.tiny else []
        options += ["--recipes", *a.recipes] if a.recipes else []
        sound = Call(a.out.resolve(), a.minutes, stages, command, options, a.commit, a.tiny).run()
    raise SystemExit(not sound)


PATHS = ("cache", "wheels")


def _refuse_unknown(names: list[str]) -> None:
    """Say which recipes there are; asked of their files, since nothing may be installed yet."""
    known = {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    if wrong := sorted(set(names) - known):
        raise SystemExit(
            f"--recipes {wrong[0]}: there is no recipes/{wrong[0]}.yaml. Expected {', '.join(sorted(known))}."
        )


@contextlib.contextmanager
def _scratch(named: Path | None) -> Iterator[Path]:
    """The folder that was named, or one that is gone afterwards."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        yield named.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="taskkit-gpu-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def stage(a: argparse.Namespace) -> None:
    """Run one stage in this process."""
    kept = Kept(a.out / f"{a.stage}.json", begun(a.stage, a.command, a.commit, tiny=a.tiny))
    if a.stage == INSTALL:
        from on_device import installing

        installing.install(kept, a.wheels, a.scratch / "environment")
        return
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # with several, Hugging Face's Trainer would take all
    os.environ["TASKKIT_CACHE"] = str(a.cache or a.scratch / "cache")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(a.scratch / "inductor")
    from on_device import machine

    kept.put(**machine.described(tiny=a.tiny))
    if a.stage == TESTS:
        from on_device import cuda_tests

        cuda_tests.run(kept, a.scratch, a.until)
    elif a.stage == RECIPES:
        from on_device import training

        names = a.recipes or list(training.TRIALS)
        training.train(kept, names, a.scratch, a.until, together=a.together, tiny=a.tiny)
    else:
        from on_device import timing

        peak = None if a.peak_tflops is None else a.peak_tflops * 1e12
        timing.of_work(kept, a.stage, a.scratch, a.until, repetitions=a.repetitions, peak=peak, tiny=a.tiny)


if __name__ == "__main__":
    main()
