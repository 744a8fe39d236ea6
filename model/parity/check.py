"""Checks that transformers reads the models that genrec saves, for `make parity`.

    python model/parity/check.py OUT

compares, for each OUT/CASE that make.py wrote, the logits of the model in
OUT/CASE/saved with the expected ones, and fails if they differ by more than 1e-4.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from genrec import attention_mask, embed, load

TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(usage="check.py OUT")
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    expected = sorted(out.glob("*/expected.safetensors"))
    if not expected:
        sys.exit(f"no cases in {out}: run make.py {out} first")
    failed = False
    for path in expected:
        case = path.parent
        try:
            difference = compare(load(case / "saved"), load_file(path))
        except Exception as e:  # transformers raises many types for invalid files
            print(f"{case.name}: transformers cannot read {case / 'saved'}: {e}")
            failed = True
            continue
        close = difference <= TOLERANCE  # not so for NaN
        print(f"{case.name}: logits of the saved model differ by up to {difference:.2g}", end="")
        print("" if close else f", at most {TOLERANCE:.0e} is allowed: the saved weights or configuration are wrong")
        failed |= not close
    sys.exit(failed)


@torch.no_grad()
def compare(model, expected):
    """The largest difference of the logits."""
    tokens, users, items, lengths, labels = (
        expected[name].long() for name in ("tokens", "users", "items", "lengths", "labels")
    )
    mask = attention_mask(lengths, tokens.shape[1])
    logits = model(inputs_embeds=embed(model, tokens, users, items), attention_mask=mask, labels=labels).logits
    if logits.shape != expected["logits"].shape:
        raise ValueError(f"logits have shape {tuple(logits.shape)}, want {tuple(expected['logits'].shape)}")
    return float((logits - expected["logits"]).abs().max())


if __name__ == "__main__":
    main()
