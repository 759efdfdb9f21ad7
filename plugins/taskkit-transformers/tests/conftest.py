import pytest
import torch
from transformers import AutoConfig, AutoModel

LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
TINY = {
    "bert": {"vocab_size": 16, **LAYERS},
    "wav2vec2": {
        "conv_dim": [8, 12],
        "conv_kernel": [10, 4],
        "conv_stride": [5, 2],
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 6,
        "num_conv_pos_embedding_groups": 2,
        **LAYERS,
    },
}
"""Shapes of models that answer in a moment."""


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are quickest on one thread, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that a test remembers outlives it."""
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=TINY)
def folder(request, tmp_path):
    """The folder of a tiny model of a kind with random weights, as transformers saves one."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, **TINY[request.param])
    AutoModel.from_config(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"
