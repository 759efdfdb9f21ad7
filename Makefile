# The few commands that one needs here. `make install` comes first.
bin := .venv/bin

.PHONY: install test coverage slow steps gpu calibration fuzz proofs conformance faults trust lint docs

install:  ## an environment with taskkit, its plugins and the tools
	python3 -m venv .venv
	$(bin)/pip install -q -r requirements.txt

test:  ## all tests but the slow ones, lint, types and docs among them
	$(bin)/pytest

coverage:  ## the same tests, and which branches of the code they leave out
	$(bin)/pytest --cov --cov-report=term-missing:skip-covered

slow:  ## train the shipped recipes to the results that their headers state
	$(bin)/pytest -m slow -n 0

steps:  ## measure what a training step costs the host beside other trainers, and write docs/results/steps.md; on a quiet machine, some ten minutes
	OMP_NUM_THREADS=1 $(bin)/python tests/benchmarks/steps.py cpu --out docs/results/steps-cpu.json
	$(bin)/python tests/benchmarks/steps.py page

gpu:  ## all that is to be known of a CUDA device, in nine minutes, and write docs/results/gpu.md
	-$(bin)/python tests/benchmarks/gpu.py run --out docs/results/gpu
	$(bin)/python tests/benchmarks/gpu.py page

calibration:  ## measure what intervals and tests are worth, and write docs/explanation/calibration.md (some ten minutes)
	$(bin)/python -m tests.calibration

fuzz:  ## thousands of recipes changed at random, of which hundreds are started; minutes
	TASKKIT_FUZZ_CHECKS=5000 TASKKIT_FUZZ_STARTS=300 $(bin)/pytest tests/test_fuzz.py -n 0

proofs:  ## all proofs of all modalities and packages, and write docs/results/proofs.md (some ten minutes)
	OMP_NUM_THREADS=1 $(bin)/python -m tests.verify.table

conformance:  ## all checks of the kit for each plugin of this repository, and write docs/results/conformance.md (half an hour)
	OMP_NUM_THREADS=1 $(bin)/python -m tests.testing.table
	OMP_NUM_THREADS=1 $(bin)/pytest -m "taskkit_slow or not taskkit_slow" -n 2 --dist loadfile tests/testing

faults:  ## disturb whole runs at random moments and in every place, damage files of each modality, and write docs/results/faults.md; an hour
	$(bin)/python -m tests.faults

trust: fuzz proofs faults  ## the long form of all tests at random

lint:  ## format, lint, types and arrows
	$(bin)/ruff format
	$(bin)/ruff check --fix
	$(bin)/mypy
	$(bin)/lint-imports

docs:  ## the documentation, at the address that it prints
	$(bin)/mkdocs serve
