"""torchmetrics comes without what few of its metrics need, and these metrics work all the same."""

import subprocess
import sys

import pytest

IMPORTS = """
import sys
from taskkit.cli.loading import loading
with loading():
    import taskkit.engine.run
"""

HARMLESS = (
    IMPORTS
    + """
assert not {"matplotlib", "torchvision", "transformers", "scipy.signal"} & set(sys.modules)
from taskkit.cli.deferred import Later

found = {
    f"{name}.{key}": value
    for name, module in list(sys.modules.items())
    for key, value in vars(module).items()
    if name.startswith("torchmetrics") and isinstance(value, Later)
}
print(*sorted(found))
import transformers, torchvision.models
assert found["torchmetrics.functional.image.arniqa.resnet50"].real() is torchvision.models.resnet50
assert found["torchmetrics.functional.image.arniqa.transforms"].real() is torchvision.transforms
assert all(later.real() is not None for later in found.values())

import scipy
assert scipy.signal.firwin

import torch
from pathlib import Path
folder = Path(sys.argv[1])
folder.joinpath("vocab.txt").write_text("\\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]))
transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
sizes = dict(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
transformers.BertModel(transformers.BertConfig(**sizes)).eval().save_pretrained(folder)

import matplotlib
matplotlib.use("agg")
from torchmetrics.classification import BinaryAccuracy, BinaryConfusionMatrix, BinaryROC
for metric in (BinaryAccuracy(), BinaryConfusionMatrix(), BinaryROC()):
    metric.update(torch.tensor([0.9, 0.2, 0.8]), torch.tensor([1, 0, 0]))
    figure, _ = metric.plot()
    assert isinstance(figure, matplotlib.figure.Figure), figure
    figure.savefig(folder / "plot.png")
assert folder.joinpath("plot.png").stat().st_size > 5000

from torchmetrics.functional.text import bert_score
scores = bert_score(["good"], ["good"], model_name_or_path=str(folder), num_layers=1, max_length=8)
assert abs(float(scores["f1"]) - 1) < 1e-4, scores
"""
)


def test_a_deferred_name_is_the_real_one_once_it_is_used(environment, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", HARMLESS, str(tmp_path)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "torchmetrics.functional.text.bert.AutoModel" in ended.stdout


@pytest.mark.parametrize("first", ["", "import torchvision"])
def test_torchmetrics_that_cannot_do_with_placeholders_gets_the_real_ones(environment, tmp_path, first):
    """A class that inherits from one is made at once, and a module that is there already is no placeholder."""
    (tmp_path / "torchmetrics").mkdir()
    (tmp_path / "torchmetrics" / "__init__.py").write_text("from torchmetrics import pictures\n")
    (tmp_path / "torchmetrics" / "pictures.py").write_text(
        "from torchvision import Base\nclass Metric(Base):\n    pass\n"
    )
    (tmp_path / "torchvision.py").write_text("class Base:\n    pass\n")
    source = f"""
{first}
from taskkit.cli.deferred import deferred
with deferred():
    import torchmetrics
import torchvision, sys
assert torchmetrics.pictures.Metric.__mro__[1] is torchvision.Base
"""
    ended = subprocess.run([sys.executable, "-c", source], env=environment(tmp_path), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
