"""Imports all that a run of ours may need, for the process that children are forked from; it starts no thread."""

import dateutil.zoneinfo
import omegaconf
import pandas
import pytorch_lightning
import soundfile
import torch
import torchmetrics
from PIL import Image
from pyarrow import csv, parquet

import taskkit.api
import taskkit.cli.compare
import taskkit.cli.eval
import taskkit.cli.predict
import taskkit.cli.run
from taskkit.batches.code import code_of
from taskkit.plugins.discovery import from_environment

torch.set_num_threads(1)
MODULES = (Image, csv, dateutil, omegaconf, pandas, parquet, pytorch_lightning, soundfile, torch, torchmetrics)
VERBS = (taskkit.api, taskkit.cli.compare, taskkit.cli.eval, taskkit.cli.predict, taskkit.cli.run)
# Which packages are installed is looked up once in a process, and takes a second.
code_of(torchmetrics.Metric)
for component in from_environment().components:
    __import__(component.implementation.partition(":")[0])
