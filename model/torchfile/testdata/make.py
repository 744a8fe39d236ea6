"""Writes the state dicts in this folder, whose values the tests expect.

Run with PyTorch 1.6 or later: python make.py
"""

import pathlib
from collections import OrderedDict

import torch

HERE = pathlib.Path(__file__).parent


def save(name, state, **options):
    torch.save(state, HERE / (name + ".bin"), **options)


matrix = torch.arange(6, dtype=torch.float32).reshape(2, 3)  # [[0 1 2] [3 4 5]]
values = torch.tensor([0.5, -2.0, 65504.0, 2.0**-24, float("inf")])  # in float16's range


def module():
    m = torch.nn.Linear(3, 2)
    with torch.no_grad():
        m.weight.copy_(matrix)
        m.bias.copy_(torch.tensor([-1.5, 0.25]))
    return m.state_dict()  # an OrderedDict with the attribute _metadata


save("zip", module())
save("legacy", module(), _use_new_zipfile_serialization=False)  # rejected
for protocol in (3, 4, 5):
    save(f"protocol{protocol}", module(), pickle_protocol=protocol)
save("half", {"values": values.half()})
save("bfloat16", {"values": values.bfloat16()})
save("double", {"values": values.double()})

cube = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
views = OrderedDict(
    transposed=matrix.t(),
    whole=matrix,
    row=matrix[1],
    column=matrix[:, 2],
    permuted=cube.permute(2, 0, 1),
    expanded=torch.tensor([[7.0], [8.0]]).expand(2, 3),
    scalar=torch.tensor(3.0),
    empty=torch.empty(0, 4),
)
save("views", views)

save("long", {"positions": torch.arange(3)})
save("checkpoint", {"weight": matrix, "epoch": 3})
save("module", torch.nn.Linear(1, 1))
save("list", [matrix])
