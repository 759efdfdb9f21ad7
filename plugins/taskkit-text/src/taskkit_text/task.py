"""Text classification: the shared task, with micro averages beside the macro ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskkit import Classification, Mean, NoInterval, Processor, Statistic
from taskkit_text import sections

if TYPE_CHECKING:
    from torchmetrics import Metric


class TextClassification(Classification[sections.TextClassification, Processor]):
    """Choose one class for each text, or for each pair of texts."""

    def metrics(self) -> Mapping[str, Metric]:
        """Those of the shared task, and precision, recall and F1 over all decisions at once.

        The three are equal to accuracy, since each text has one class and gets one; results elsewhere are stated so.
        """
        from torchmetrics.classification import MulticlassF1Score, MulticlassPrecision, MulticlassRecall

        count = len(self.classes)
        micro = {
            "micro_precision": MulticlassPrecision(count, average="micro"),
            "micro_recall": MulticlassRecall(count, average="micro"),
            "micro_f1": MulticlassF1Score(count, average="micro"),
        }
        return {**super().metrics(), **micro}

    def statistics(self) -> Mapping[str, Statistic | NoInterval]:
        """Those of the shared task; the micro averages are accuracy."""
        micro = ("micro_precision", "micro_recall", "micro_f1")
        return {**super().statistics(), **dict.fromkeys(micro, Mean("correct", ideal=1.0))}
