"""Writes the small folders of Hugging Face that the tests of learn/src/pretrained read, with the sentence vectors of
`transformers` for them.

    python bench/pretrained/folders.py

Run it again only when a folder is added: the folders are in the repository.
"""

import json
import pathlib
import shutil

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).resolve().parents[2] / "learn/src/pretrained/fixtures"
SENTENCES = ["The tide turns the mill.", "tide", "A mill by the sea, the sea by a mill!", "unseen words"]
WORDS = ["the", "tide", "turn", "##s", "mill", "a", "by", "sea", ".", ",", "!", "##al", "word"]


def word_piece(special):
    """`special`: the unknown token, the first and the last of a text; and the padding, wherever it stands."""
    names, unknown, begin, end = special
    tokens = names + WORDS
    tokenizer = Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, tokens.index(begin)), (end, tokens.index(end))]
    )
    return tokenizer, tokens


def write(name, config, special, padding):
    torch.manual_seed(1)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer, tokens = word_piece(special)
    config.vocab_size = len(tokens)
    model = transformers.AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # biases and gains that are not at rest
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    rows = [tokenizer.encode(sentence).ids for sentence in SENTENCES]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        values = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (values * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    vectors = torch.nn.functional.normalize(mean).tolist()
    expected = {"transformers": transformers.__version__, "sentences": SENTENCES, "ids": rows, "vectors": vectors}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    for extra in folder.glob("generation_config.json"):
        extra.unlink()


bert = (["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "[UNK]", "[CLS]", "[SEP]")
write(
    "bert",
    transformers.BertConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, max_position_embeddings=16
    ),
    bert,
    0,
)
roberta = (["<s>", "<pad>", "</s>", "<unk>"], "<unk>", "<s>", "</s>")
write(
    "roberta",
    transformers.RobertaConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=4, intermediate_size=12, max_position_embeddings=20,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5,
    ),
    roberta,
    1,
)
write(
    "distilbert",
    transformers.DistilBertConfig(dim=8, n_layers=1, n_heads=2, hidden_dim=12, max_position_embeddings=16),
    bert,
    0,
)
