import pytest
import torch
from transformers import AutoConfig, AutoModel

from taskkit_text import vocabulary

TEXTS = [
    "a cat sat on the mat",
    "dogs bark",
    "the cat and the dog",
    "no dog sat",
    "all dogs bark at the cat on the mat",
]
TINY = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    "roberta": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "type_vocab_size": 1,
    },
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "modernbert": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
        "cls_token_id": 2,
        "sep_token_id": 2,
    },
    "deberta-v2": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
}
"""Shapes of encoders that answer in a moment; ModernBERT's second layer sees four tokens either way."""


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks this small are quickest on one thread, above all on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing that a test remembers outlives it."""
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    """The folder of a tiny encoder of a kind with random weights, as transformers saves one."""
    tokenizer = vocabulary.learn("words", TEXTS, 100)

    def make(kind="bert"):
        folder = tmp_path_factory.getbasetemp() / f"encoder-{kind}"
        if not folder.exists():
            size = tokenizer.get_vocab_size()
            pad = 1 if kind == "roberta" else 0
            shape = {"vocab_size": size, "max_position_embeddings": 64 + 2 * pad, "pad_token_id": pad, **TINY[kind]}
            torch.manual_seed(0)
            model = AutoModel.from_config(AutoConfig.for_model(kind, initializer_range=0.5, **shape))
            model.save_pretrained(folder)
            tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    return make
