"""What PyTorch's losses are over twenty steps of each family by each optimiser: the figures that
`learn/src/train/pytorch_families.rs` follows.

Weights and rows are made by formulas that both have; layers are those of `families()` there. Prints the lines of
`learn/src/train/pytorch_families.tsv`: family, optimiser, losses at steps 1, 2, 5, 10, 15 and 20. In
float64, so that only our own rounding counts. `python bench/train/follow.py [FAMILY...]`
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
ROWS, CLASSES = 6, 3


def formula(index: int, shape: tuple[int, ...]) -> torch.Tensor:
    count = fan = 1
    for size in shape:
        count *= size
    for size in shape[:-1]:
        fan *= size
    i = torch.arange(count, dtype=torch.int64)
    scale = min(1.0, 1.5 / fan**0.5)
    return (((i * 7 + i * i * 3 + index * 5) % 31 - 15).double() / 15 * scale).reshape(shape)


class Weights:
    """The learned numbers, made in the order in which the network names them."""

    def __init__(self) -> None:
        self.made: list[torch.Tensor] = []
        self.index = 0

    def matrix(self, *shape: int) -> torch.Tensor:
        self.made.append(formula(self.index, shape).requires_grad_())
        self.index += 1
        return self.made[-1]

    def vector(self, size: int, start: float = 0.0) -> torch.Tensor:
        self.made.append(torch.full((size,), start).requires_grad_())
        self.index += 1
        return self.made[-1]


def linear(w: Weights, inputs: int, outputs: int):
    weight, bias = w.matrix(inputs, outputs), w.vector(outputs)
    return lambda x: F.linear(x, weight.t(), bias)


def conv(w: Weights, inputs: int, outputs: int, kernel, stride: int = 1, padding=0, bias: bool = True):
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    weight = w.matrix(high, wide, inputs, outputs)
    offset = w.vector(outputs) if bias else None
    return lambda x: F.conv2d(x, weight.permute(3, 2, 0, 1), offset, stride, padding)


def batch_norm(w: Weights, size: int):
    gain, bias = w.vector(size, 1.0), w.vector(size)
    w.index += 2  # the running statistics
    return lambda x: F.batch_norm(x, None, None, gain, bias, True, eps=1e-5)


def layer_norm(w: Weights, size: int):
    gain, bias = w.vector(size, 1.0), w.vector(size)
    return lambda x: F.layer_norm(x, (size,), gain, bias, 1e-5)


def flat(x: torch.Tensor) -> torch.Tensor:
    """Channels last, as the network has them."""
    return x.permute(0, 2, 3, 1).flatten(1)


class Recurrent:
    """`nn.LSTM` or `nn.GRU` with one bias: of the second only the part of GRU's `n` counts."""

    def __init__(self, w: Weights, cell: str, inputs: int, units: int) -> None:
        gates = 4 if cell == "LSTM" else 3
        self.weights = [w.matrix(inputs, gates * units), w.matrix(units, gates * units), w.vector(4 * units)]
        self.cell, self.layer, self.units, self.gates = cell, getattr(nn, cell)(inputs, units, batch_first=True), units, gates

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        weight, hidden, bias = self.weights
        second = torch.zeros(self.gates * self.units)
        if self.cell == "GRU":
            second = torch.cat([torch.zeros(2 * self.units), bias[3 * self.units :]])
        parts = {"weight_ih_l0": weight.t(), "weight_hh_l0": hidden.t(), "bias_ih_l0": bias[: self.gates * self.units], "bias_hh_l0": second}
        return torch.func.functional_call(self.layer, parts, (x,))[0]


def turned(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    rows = []
    for row, length in zip(x, lengths.tolist()):
        rows.append(torch.cat([row[:length].flip(0), row[length:]]))
    return torch.stack(rows)


def both_ways(w: Weights, cell: str, inputs: int, units: int):
    forward, backward = Recurrent(w, cell, inputs, units), Recurrent(w, cell, inputs, units)
    return lambda x, lengths: torch.cat([forward(x), turned(backward(turned(x, lengths)), lengths)], 2)


def numbers(width: int) -> torch.Tensor:
    n = torch.arange(ROWS * width)
    return ((n // width * 7 + n % width * 3) % 11 * 0.25 - 1.25).reshape(ROWS, width)


CODES = torch.arange(ROWS) * 3 % 5


def picture(size: int, channels: int) -> torch.Tensor:
    n = torch.arange(ROWS * size * size * channels)
    pixels = (n * 7 + n * n % 251) % 256
    return ((pixels.double() - 127.5) / 127.5).reshape(ROWS, size, size, channels).permute(0, 3, 1, 2)


def text(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = 1 + torch.arange(ROWS) * 3 % length
    tokens = 1 + torch.arange(ROWS * length).reshape(ROWS, length) * 5 % 12
    return torch.where(torch.arange(length) < lengths[:, None], tokens, 0), lengths


def vectors(words: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Those of padding are 0."""
    return words[tokens] * (tokens != 0)[:, :, None]


def series(steps: int, count: int) -> torch.Tensor:
    n = torch.arange(ROWS * steps).reshape(ROWS, steps)
    return torch.stack([((n * 7 + s * 3) % 11 * 0.25 - 1.25 - 0.1) * 1.5 for s in range(count)], 2)


def last(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return x[torch.arange(len(x)), lengths - 1]


def mean(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    counts = torch.arange(x.shape[1]) < lengths[:, None]
    return (x * counts[:, :, None]).sum(1) / lengths[:, None]


def dense_batch_norm(w: Weights):
    table, x = w.matrix(5, 3), numbers(4)
    layers = []
    for inputs in (7, 6):
        layers.append((linear(w, inputs, 6), batch_norm(w, 6)))
    head = linear(w, 6, CLASSES)

    def run():
        value = torch.cat([x, table[CODES]], 1)
        for layer, norm in layers:
            value = torch.relu(norm(layer(value)))
        return head(value)

    return run


def dense_layer_norm(w: Weights):
    x = numbers(4)
    layers = [(linear(w, 4, 6), layer_norm(w, 6)), (linear(w, 6, 6), layer_norm(w, 6))]
    head = linear(w, 6, CLASSES)

    def run():
        value = F.gelu(layers[0][1](layers[0][0](x)))
        value = F.gelu(layers[1][1](layers[1][0](value))) + value
        return head(value)

    return run


def wide_and_deep(w: Weights):
    table, x = w.matrix(5, 2), numbers(4)
    first, second, head = linear(w, 6, 7), linear(w, 7, 4), linear(w, 10, CLASSES)

    def run():
        wide = torch.cat([x, table[CODES]], 1)
        deep = torch.tanh(second(torch.tanh(first(wide))))
        return head(torch.cat([wide, deep], 1))

    return run


def autoencoder(w: Weights):
    x = numbers(4)
    layers = [linear(w, 4, 6), linear(w, 6, 2), linear(w, 2, 6), linear(w, 6, 4)]

    def run():
        code = layers[1](torch.tanh(layers[0](x)))
        return F.mse_loss(layers[3](torch.tanh(layers[2](code))), x) + 1e-9

    return run


def convolutions(w: Weights):
    x = picture(8, 1)
    layers = [conv(w, 1, 3, 3, padding=1), conv(w, 3, 4, 3, padding=1), conv(w, 4, 5, 3, padding=1)]
    hidden, head = linear(w, 20, 6), linear(w, 6, CLASSES)

    def run():
        value = F.max_pool2d(torch.relu(layers[1](torch.relu(layers[0](x)))), 2)
        value = F.max_pool2d(torch.relu(layers[2](value)), 2)
        return head(torch.relu(hidden(flat(value))))

    return run


def convolutions_batch_norm(w: Weights):
    x = picture(9, 3)
    layers = []
    for inputs, outputs in ((3, 3), (3, 4), (4, 5)):
        layers.append((conv(w, inputs, outputs, 3, padding=1, bias=False), batch_norm(w, outputs)))
    hidden, head = linear(w, 20, 6), linear(w, 6, CLASSES)

    def run():
        value = x
        for number, (layer, norm) in enumerate(layers):
            value = torch.relu(norm(layer(value)))
            if number > 0:
                value = F.max_pool2d(value, 2)
        return head(torch.relu(hidden(flat(value))))

    return run


def lenet(w: Weights):
    x = picture(28, 1)
    first, second = conv(w, 1, 6, 5, padding=2), conv(w, 6, 16, 5)
    layers = [linear(w, 400, 120), linear(w, 120, 84)]
    head = linear(w, 84, CLASSES)

    def run():
        value = F.max_pool2d(torch.relu(first(x)), 2)
        value = flat(F.max_pool2d(torch.relu(second(value)), 2))
        for layer in layers:
            value = torch.relu(layer(value))
        return head(value)

    return run


def resnet(w: Weights):
    x = picture(8, 3)
    stem, stem_norm = conv(w, 3, 16, 3, padding=1, bias=False), batch_norm(w, 16)
    blocks, width = [], 16
    for outputs in (16, 32, 64):
        for block in range(3):
            stride = 2 if outputs > 16 and block == 0 else 1
            layers = [conv(w, width, outputs, 3, stride, 1, False), batch_norm(w, outputs)]
            layers += [conv(w, outputs, outputs, 3, 1, 1, False), batch_norm(w, outputs)]
            if width != outputs:
                layers += [conv(w, width, outputs, 1, stride, 0, False), batch_norm(w, outputs)]
            blocks.append(layers)
            width = outputs
    head = linear(w, 64, CLASSES)

    def run():
        value = torch.relu(stem_norm(stem(x)))
        for layers in blocks:
            around = layers[5](layers[4](value)) if len(layers) > 4 else value
            value = torch.relu(layers[3](layers[2](torch.relu(layers[1](layers[0](value))))) + around)
        return head(value.mean((2, 3)))

    return run


def text_conv(w: Weights):
    tokens, lengths = text(6)
    words = w.matrix(13, 6)
    layers = [(width, conv(w, 6, 4, (width, 1))) for width in (2, 3, 4)]
    table, x = w.matrix(5, 2), numbers(3)
    head = linear(w, 17, CLASSES)

    def run():
        value = vectors(words, tokens).permute(0, 2, 1)[:, :, :, None]
        parts = []
        for width, layer in layers:
            padded = F.pad(value, (0, 0, (width - 1) // 2, width // 2))
            seen = torch.relu(layer(padded))[:, :, :, 0]
            counts = (torch.arange(6) < lengths[:, None])[:, None]
            parts.append(seen.masked_fill(~counts, -torch.inf).amax(2))
        return head(torch.cat([*parts, x, table[CODES]], 1))

    return run


def lstm_text(w: Weights):
    (tokens, lengths), words = text(7), w.matrix(13, 6)
    layers = [Recurrent(w, "LSTM", 6, 5), Recurrent(w, "LSTM", 5, 4)]
    hidden, head = linear(w, 4, 3), linear(w, 3, CLASSES)
    return lambda: head(torch.relu(hidden(last(layers[1](layers[0](vectors(words, tokens))), lengths))))


def gru_text(w: Weights):
    (tokens, lengths), words = text(7), w.matrix(13, 6)
    layers = [both_ways(w, "GRU", 6, 5), both_ways(w, "GRU", 10, 4)]
    hidden, head = linear(w, 8, 3), linear(w, 3, CLASSES)

    def run():
        value = layers[1](layers[0](vectors(words, tokens), lengths), lengths)
        counts = (torch.arange(7) < lengths[:, None])[:, :, None]
        return head(torch.relu(hidden(value.masked_fill(~counts, -torch.inf).amax(1))))

    return run


def lstm_series(w: Weights):
    x, lengths = series(6, 3), torch.full((ROWS,), 6)
    layers = [both_ways(w, "LSTM", 3, 5), both_ways(w, "LSTM", 10, 4)]
    hidden, head = linear(w, 8, 3), linear(w, 3, CLASSES)
    return lambda: head(torch.relu(hidden(layers[1](layers[0](x, lengths), lengths).mean(1))))


def gru_series(w: Weights):
    x = series(6, 2)
    layers = [Recurrent(w, "GRU", 2, 5), Recurrent(w, "GRU", 5, 4)]
    hidden, head = linear(w, 4, 3), linear(w, 3, CLASSES)
    return lambda: head(torch.relu(hidden(layers[1](layers[0](x))[:, -1])))


def encoder(w: Weights, steps: int):
    """Two layers of 8 wide, two heads, 12 inside; normalisation before each part."""
    positions = w.matrix(steps, 8)
    layers = []
    for _ in range(2):
        layers.append(
            (layer_norm(w, 8), linear(w, 8, 24), linear(w, 8, 8), layer_norm(w, 8), linear(w, 8, 12), linear(w, 12, 8))
        )
    norm = layer_norm(w, 8)

    def run(value: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        mask = (torch.arange(steps) < lengths[:, None])[:, None, None, :]
        value = value + positions
        for norm1, qkv, output, norm2, inner, outer in layers:
            parts = qkv(norm1(value)).reshape(ROWS, steps, 3, 2, 4).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], mask)
            value = value + output(seen.permute(0, 2, 1, 3).reshape(ROWS, steps, 8))
            value = value + outer(F.gelu(inner(norm2(value))))
        return norm(value)

    return run


def transformer_text(w: Weights):
    (tokens, lengths), words = text(9), w.matrix(13, 8)
    layers = encoder(w, 9)
    head = linear(w, 8, CLASSES)
    return lambda: head(mean(layers(vectors(words, tokens), lengths), lengths))


def transformer_series(w: Weights):
    x, lengths = series(5, 3), torch.full((ROWS,), 5)
    first = linear(w, 3, 8)
    layers = encoder(w, 5)
    head = linear(w, 8, CLASSES)
    return lambda: head(layers(first(x), lengths)[:, 0])


FAMILIES = {
    "batch norm": dense_batch_norm,
    "layer norm": dense_layer_norm,
    "wide and deep": wide_and_deep,
    "autoencoder": autoencoder,
    "conv": convolutions,
    "conv, batch norm": convolutions_batch_norm,
    "lenet": lenet,
    "resnet 20": resnet,
    "text conv": text_conv,
    "lstm on text": lstm_text,
    "gru on text": gru_text,
    "lstm on series": lstm_series,
    "gru on series": gru_series,
    "transformer on text": transformer_text,
    "transformer on series": transformer_series,
}
OPTIMIZERS = {
    "sgd": lambda made, rate: torch.optim.SGD(made, 0.02 * rate),
    "momentum": lambda made, rate: torch.optim.SGD(made, 0.02 * rate, 0.9),
    "nesterov": lambda made, rate: torch.optim.SGD(made, 0.02 * rate, 0.9, nesterov=True),
    "adam": lambda made, rate: torch.optim.Adam(made, 0.003 * rate),
    "adamw": lambda made, rate: torch.optim.AdamW(
        [
            {"params": [p for p in made if p.dim() > 1], "weight_decay": 0.1},
            {"params": [p for p in made if p.dim() == 1], "weight_decay": 0.0},
        ],
        0.003 * rate,
    ),
    "adagrad": lambda made, rate: torch.optim.Adagrad(made, 0.01 * rate),
    "adadelta": lambda made, rate: torch.optim.Adadelta(made, rate),
    "rmsprop": lambda made, rate: torch.optim.RMSprop(made, 0.001 * rate),
}
#: The deepest makes much of a rounding that turns one ReLU: at some step sizes PyTorch's own float32 strays from its
#: float64 by several per cent. These do not at a smaller one.
RATES = {("resnet 20", "sgd"): 0.1, ("resnet 20", "adadelta"): 0.2, ("resnet 20", "rmsprop"): 0.02}
target = torch.arange(ROWS) * 5 % CLASSES
for name in sys.argv[1:] or FAMILIES:
    family = FAMILIES[name]
    for optimizer_name, make in OPTIMIZERS.items():
        weights = Weights()
        run = family(weights)
        optimizer = make(weights.made, RATES.get((name, optimizer_name), 1.0))
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            value = run()
            loss = F.cross_entropy(value, target) if value.dim() else value
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(name, optimizer_name, *(f"{losses[at]:.6f}" for at in (0, 1, 4, 9, 14, 19)), sep="\t")
