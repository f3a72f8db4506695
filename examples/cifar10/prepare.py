"""Writes the CIFAR-10 batches of convnetjs as folders of pictures: FOLDER/cifar10/{train,test}/CLASS/NUMBER.png.

Each batch is a PNG of 1,000 rows; a row is one picture of 32 x 32 pixels. `pip install pillow`, then
python prepare.py FOLDER/cifar10_subset FOLDER/cifar10
"""

import gzip
import re
import sys
from pathlib import Path

from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
source, target = Path(sys.argv[1]), Path(sys.argv[2])
labels = [int(label) for label in re.findall(r"\d+", gzip.open(source / "cifar10_labels.js.gz", "rt").read())]
for batch in sorted(source.glob("cifar10_batch_*.png")):
    number = int(batch.stem.rsplit("_", 1)[1])  # 0 to 49 are for training, 50 is for the test
    rows = Image.open(batch).convert("RGB")
    for row in range(rows.height):
        at = number * 1000 + row
        folder = target / ("test" if number == 50 else "train") / CLASSES[labels[at]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (32, 32), rows.crop((0, row, 1024, row + 1)).tobytes()).save(folder / f"{at:05}.png")
