"""Prints what `transformers` answers for tiny networks, the figures of the test in learn/src/net/bert.rs.

    python bench/pretrained/tiny.py

The weights are a function of the tensors' names, the same in the test: no file is needed.
"""

import numpy as np
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, vocab_size=20)


def numbers(name, shape):
    """Numbers of -0.5 to 0.5 from a hash of name and place; gains lie around 1."""
    mixed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            mixed = (mixed ^ np.uint32(byte)) * np.uint32(16777619)
        x = mixed ^ (np.arange(int(np.prod(shape)), dtype=np.uint32) * np.uint32(0x9E3779B1))
        x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
        x ^= x >> 16
    values = (x >> 8).astype(np.float32) / np.float32(1 << 24) - np.float32(0.5)
    is_gain = name.endswith("norm.weight") or name.endswith("Norm.weight")
    return torch.tensor((values + np.float32(is_gain)).reshape(shape))


def fill(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(numbers(name, tuple(parameter.shape)))
    return model.eval()


bert = BertModel(BertConfig(**SIZES, max_position_embeddings=8, layer_norm_eps=1e-5), add_pooling_layer=False)
relu = BertConfig(**SIZES, max_position_embeddings=8, layer_norm_eps=1e-5, hidden_act="relu")
roberta = RobertaConfig(**SIZES, max_position_embeddings=10, layer_norm_eps=1e-5, type_vocab_size=1)
distil = DistilBertConfig(dim=16, n_layers=2, n_heads=4, hidden_dim=24, vocab_size=20, max_position_embeddings=8)
cases = [
    ("bert", bert, [[2, 5, 7, 9, 3], [2, 11, 3]], 0),
    ("bert, relu", BertModel(relu, add_pooling_layer=False), [[2, 5, 7, 9, 3], [2, 11, 3]], 0),
    ("roberta", RobertaModel(roberta, add_pooling_layer=False), [[0, 5, 7, 9, 2], [0, 11, 2]], 1),
    ("distilbert", DistilBertModel(distil), [[2, 5, 7, 9, 3], [2, 11, 3]], 0),
]
for name, model, texts, padding in cases:
    fill(model)
    longest = max(map(len, texts))
    ids = torch.tensor([text + [padding] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    # Of each text the first four numbers of the mean, and of the first token's vector.
    for what, rows in [("mean", mean), ("first", hidden[:, 0])]:
        print(name, what, [[round(float(x), 6) for x in row[:4]] for row in rows])
