"""Writes the small files of torch.save that the tests of learn/src/pretrained read.

    python bench/pretrained/fixtures.py

Run it again only when a file is added: the files are in the repository.
"""

import pathlib

import torch

HERE = pathlib.Path(__file__).resolve().parents[2] / "learn/src/pretrained/fixtures"


def state_dict():
    def count(n):
        return torch.arange(n, dtype=torch.float32)

    tied = count(4) + 0.25
    return {
        "float": count(6).reshape(2, 3) * 0.5,
        "double": count(3).double() * 0.1,
        "half": count(3).half() * 0.5,
        "bfloat16": count(3).bfloat16() * 0.5,
        "long": count(3).long() - 1,
        "int": count(3).int() - 1,
        "short": count(3).short() - 1,
        "char": count(3).char() - 1,
        "byte": count(3).byte(),
        "bool": count(3).bool(),
        "transposed": count(6).reshape(2, 3).t(),
        "slice": count(10)[3:7],
        "step": count(10)[1::3],
        "block": count(24).reshape(2, 3, 4)[:, 1:, ::2].permute(2, 0, 1),
        "expanded": count(2).expand(3, 2),
        "tied.a": tied,
        "tied.b": tied,
        "parameter": torch.nn.Parameter(count(2)),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
    }


HERE.mkdir(exist_ok=True)
torch.save(state_dict(), HERE / "state_dict.pth")
torch.save(state_dict(), HERE / "protocol_4.pth", pickle_protocol=4)
torch.save(state_dict(), HERE / "legacy.pth", _use_new_zipfile_serialization=False)
module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
with torch.no_grad():
    module[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
    module[0].bias.fill_(3.0)
optimizer = torch.optim.Adam(module.parameters())
module(torch.ones(2, 2)).sum().backward()
optimizer.step()
with torch.no_grad():
    module[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
    module[0].bias.fill_(3.0)
checkpoint = {"epoch": 3, "loss": 0.5, "note": "a text", "state_dict": module.state_dict(), "optimizer": optimizer.state_dict()}
torch.save(checkpoint, HERE / "checkpoint.pth")
torch.save(module, HERE / "module.pth")
