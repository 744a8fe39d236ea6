"""Generates models and the results of transformers for them, for `make parity`.

    python model/parity/make.py OUT [CASE ...]

writes OUT/CASE/ for the cases named, or for all of them (even, uneven, scaled, base,
medium). The first three are kept in model/testdata/parity. The same versions of the
packages give the same bytes on the same kind of processor.

config.json, model.safetensors: the model as save_pretrained writes it, with the sizes
    of the two ID tables as genrec_users and genrec_items and the tables as
    user_embedding.weight and item_embedding.weight.
pytorch_model.bin (even alone): the weights as facebook/bart-base has them, those of a
    bare BartModel saved by torch.save.
expected.safetensors: float32 throughout.
    tokens, users, items (B, S), lengths (B): the encoder's input.
    labels (B, T): with -100 for padding.
    logits (B, T, V), loss (1), grad.NAME: results without dropout; the loss is the mean
        over the labels, in nats.
    texts (N, L): the items' tokens, padded with -1.
    beams (B, 20), scores (B, 20): the texts found, best first; see search.py.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BartConfig, BartForConditionalGeneration

from cases import CASES, draw_requests, padded
from genrec import TABLES, add_tables, attention_mask, embed
from search import search

MAX_SEEDS = 200
NO_TOKEN = -1


def main():
    parser = argparse.ArgumentParser(usage="make.py OUT [CASE ...]")
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    arguments = parser.parse_args()
    for name in arguments.cases:
        if name not in CASES:
            parser.error(f"unknown case {name!r}: choose from {', '.join(CASES)}")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums depend on the number of threads
    for name in arguments.cases or CASES:
        make(CASES[name], arguments.out / name)


def make(case, folder):
    for seed in range(MAX_SEEDS):
        rng = np.random.default_rng(seed)
        requests = draw_requests(case, rng)
        model = draw_model(case, rng)
        with torch.no_grad():
            beams, scores, margin = search(model, requests)
        if margin > case.margin:
            break
    else:
        raise RuntimeError(f"{folder.name}: no seed below {MAX_SEEDS} gives scores more than {case.margin} apart")
    tensors = {name: getattr(requests, name) for name in ("tokens", "users", "items", "lengths", "labels")}
    tensors |= learn(model, requests)
    tensors |= {"texts": padded(requests.texts, NO_TOKEN), "beams": beams, "scores": scores}
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    if case is CASES["even"]:
        torch.save(model.model.state_dict(), folder / "pytorch_model.bin")
    save_file({name: t.detach().float().contiguous() for name, t in tensors.items()}, folder / "expected.safetensors")
    spread = float(tensors["logits"].detach().std())
    print(f"{folder.name}: seed {seed}, margin {margin:.2g}, logits spread by {spread:.2g}")


def draw_model(case, rng):
    """A random model in which every weight affects the logits, which spread by some units."""
    config = BartConfig(
        **case.shape,
        **dict(zip(TABLES.values(), (case.users, case.items))),
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config)
    add_tables(model)
    std = 1.5 / config.d_model**0.5
    with torch.no_grad():
        for name, weight in [*model.named_parameters(), *model.named_buffers()]:
            values = rng.standard_normal(weight.shape, np.float32)
            if weight.dim() == 2 and name != "final_logits_bias":
                weight.copy_(torch.from_numpy(values) * std)
            else:  # biases, and weights of layer norms
                weight.copy_(torch.from_numpy(values) * 0.1 + ("norm" in name and name.endswith(".weight")))
        for name in TABLES:
            model.get_submodule(name).weight[0] = 0
    return model.eval()


def learn(model, r):
    out = model(
        inputs_embeds=embed(model, r.tokens, r.users, r.items),
        attention_mask=attention_mask(r.lengths, r.tokens.shape[1]),
        labels=r.labels,
    )
    out.loss.backward()
    gradients = {f"grad.{name}": weight.grad for name, weight in model.named_parameters()}
    return {"logits": out.logits, "loss": out.loss.view(1), **gradients}


if __name__ == "__main__":
    main()
