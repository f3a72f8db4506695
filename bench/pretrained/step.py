"""How long does a step of fine-tuning take? MiniLM, 16 texts of 64 tokens, AdamW, dropout 0.1: Tidemill and PyTorch by turns.

    python bench/pretrained/step.py FOLDER [THREADS]

Medians of three turns each. Build first: `cargo build -p learn --example pretrained`.
"""

import pathlib
import re
import statistics
import subprocess
import sys
import time

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS, TOKENS, STEPS = 16, 64, 14


def theirs(model, rows, answers):
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    times = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        model(input_ids=rows, attention_mask=torch.ones_like(rows), labels=answers).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times[2:])


def ours(folder, threads):
    cores = f"0-{threads - 1}"
    command = ["taskset", "-c", cores, "cargo", "run", "-q", "-p", "learn", "--example", "pretrained", "--", "step", folder]
    command += [str(ROWS), str(TOKENS), str(STEPS)]
    done = subprocess.run(command, text=True, capture_output=True, check=True, cwd=ROOT)
    return float(re.search(r": ([\d.]+) ms a step", done.stdout)[1])


folder, threads = str(pathlib.Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 2
torch.set_num_threads(threads)
torch.manual_seed(1)
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).train()
rows, answers = torch.randint(1, model.config.vocab_size, (ROWS, TOKENS)), torch.arange(ROWS) % 2
turns = [(ours(folder, threads), theirs(model, rows, answers)) for _ in range(3)]
tidemill, pytorch = (statistics.median(times) for times in zip(*turns))
print(f"{threads} threads, {ROWS} x {TOKENS} tokens: Tidemill {tidemill:.1f} ms, PyTorch {pytorch:.1f} ms a step: {pytorch / tidemill:.2f}x")
