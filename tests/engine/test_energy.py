"""The energy of a training: counters as Linux shows them, in a real tree of files."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import torch

from taskkit.engine.energy import Consumption, Counter, EnergyMeter, Unmetered, nvml, rapl
from taskkit.runs.manifest import Energy

ZONES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "psys",
    "intel-rapl:2": "package-1",
}
RANGE = 262_143_328_850


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two packages, one of which has memory of its own, the cores of one, and the platform around all."""
    for zone, name in ZONES.items():
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        count(tmp_path, zone, 1_000_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def count(root: Path, zone: str, microjoules: int) -> None:
    (root / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_and_memory_are_counted_and_nothing_twice(root: Path) -> None:
    consumption = Consumption(partial(rapl, root), None)
    consumption.start()
    for zone in ZONES:
        count(root, zone, 3_500_000)
    parts = ("package-0 (intel-rapl:0)", "dram (intel-rapl:0:1)", "package-1 (intel-rapl:2)")
    found = consumption.energy
    assert (found.joules, found.meter, found.parts) == (pytest.approx(7.5), "RAPL", parts)
    assert "other processes included" in found.note


def test_a_counter_that_begins_anew_is_counted_on(root: Path) -> None:
    count(root, "intel-rapl:0", RANGE - 2_000_000)
    consumption = Consumption(partial(rapl, root), None)
    consumption.start()
    count(root, "intel-rapl:0", 1_000_000)
    assert consumption.energy.joules == pytest.approx(3.0)
    count(root, "intel-rapl:0", 4_000_000)
    assert consumption.energy.joules == pytest.approx(6.0)


def test_what_is_drawn_while_it_is_stopped_does_not_count(root: Path) -> None:
    consumption = Consumption(partial(rapl, root), None)
    count(root, "intel-rapl:0", 2_000_000)
    consumption.start()
    count(root, "intel-rapl:0", 3_000_000)
    consumption.stop()
    count(root, "intel-rapl:0", 9_000_000)
    assert consumption.energy.joules == pytest.approx(1.0)
    consumption.start()
    count(root, "intel-rapl:0", 9_500_000)
    consumption.stop()
    assert consumption.energy.joules == pytest.approx(1.5)


def test_a_run_that_goes_on_adds_what_was_counted_before(root: Path) -> None:
    before = Consumption(partial(rapl, root), None)
    before.start()
    count(root, "intel-rapl:0", 3_000_000)
    saved = asdict(before.energy)
    after = Consumption(partial(rapl, root), Energy(**saved))
    after.start()
    count(root, "intel-rapl:0", 3_500_000)
    assert after.energy.joules == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("earlier", "why"),
    [
        (Energy(5.0, "NVML", ("H100 (cuda:0)",)), "another meter"),
        (Energy(5.0, "RAPL", ("package-0 (intel-rapl:0)",)), "another meter"),
        (Energy(None, note="no root"), "not measured before the run went on: no root"),
    ],
)
def test_what_several_meters_counted_is_never_put_together(root: Path, earlier: Energy, why: str) -> None:
    consumption = Consumption(partial(rapl, root), earlier)
    consumption.start()
    count(root, "intel-rapl:0", 3_500_000)
    assert consumption.energy.joules is None
    assert why in consumption.energy.note


def test_where_nothing_can_be_read_it_says_why(root: Path) -> None:
    with pytest.raises(Unmetered, match=r"there is no counter of RAPL in .*nowhere"):
        rapl(root / "nowhere")
    (root / "intel-rapl:2" / "energy_uj").unlink()
    with pytest.raises(Unmetered, match=r"RAPL cannot be read, often by root alone: .*intel-rapl:2/energy_uj"):
        rapl(root)
    found = Consumption(partial(rapl, root), None)
    found.start()
    found.stop()
    assert found.energy.joules is None
    assert "intel-rapl:2/energy_uj" in found.energy.note


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_driver_nvml_says_so() -> None:
    with pytest.raises(Unmetered, match=r"^NVML"):
        nvml([torch.device("cuda", 0)])


def test_a_counter_that_vanishes_or_is_set_back_leaves_no_number(root: Path) -> None:
    vanished = Consumption(partial(rapl, root), None)
    vanished.start()
    (root / "intel-rapl:0" / "energy_uj").unlink()
    vanished.stop()
    assert vanished.energy.joules is None

    readings = iter([7, 9, 3])
    meter = EnergyMeter("NVML", (Counter("H100 (cuda:0)", 1e-3, lambda: next(readings)),), "the device")
    consumption = Consumption(lambda: meter, None)
    consumption.start()
    assert consumption.energy.joules == pytest.approx(0.002)
    assert consumption.energy == Energy(None, note="the counter of H100 (cuda:0) was set back during the training")
