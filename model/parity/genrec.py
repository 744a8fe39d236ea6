"""GenRec in transformers: BartForConditionalGeneration with two ID tables."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # models are read from local folders

import torch
from safetensors import safe_open
from torch import nn
from transformers import BartForConditionalGeneration
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()  # load reports what matters

PAD = 1
IGNORED_LABEL = -100
TABLES = {"user_embedding": "genrec_users", "item_embedding": "genrec_items"}


def add_tables(model):
    """Adds the ID tables; row 0 is for tokens without an ID and is not trained."""
    for name, rows in TABLES.items():
        table = nn.Embedding(getattr(model.config, rows) + 1, model.config.d_model, padding_idx=0)
        model.add_module(name, table)


def load(folder):
    """Reads config.json and model.safetensors, on the CPU and in eval mode."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no such folder: {folder}")
    model, report = BartForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
    )
    tables = {f"{name}.weight" for name in TABLES}
    wrong = {
        "missing": report["missing_keys"],
        "unexpected": set(report["unexpected_keys"]) - tables,
        "of the wrong size": [name for name, *_ in report["mismatched_keys"]],
    }
    if any(wrong.values()):
        raise ValueError(
            f"wrong weights in {folder}: " + "; ".join(f"{what}: {some(k)}" for what, k in wrong.items() if k)
        )
    if getattr(model.config, "genrec_newest_first", False):
        raise ValueError(f"{folder} has genrec_newest_first, which BART does not support: unset it")
    add_tables(model)
    with safe_open(Path(folder) / "model.safetensors", "pt") as weights, torch.no_grad():
        for name, rows in TABLES.items():
            table, stored = model.get_submodule(name).weight, weights.get_tensor(f"{name}.weight")
            if table.shape != stored.shape:
                raise ValueError(
                    f"{name}.weight in {folder} is {tuple(stored.shape)}, {rows} requires {tuple(table.shape)}"
                )
            table.copy_(stored)
    return model.eval()


def some(names):
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def attention_mask(lengths, width):
    """(B, S): 1 on tokens and 0 on padding, None if there is no padding."""
    if bool((lengths == width).all()):
        return None
    return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()


def embed(model, tokens, users, items):
    """(B, S, D): the encoder's input, without position embeddings."""
    return model.model.encoder.embed_tokens(tokens) + model.user_embedding(users) + model.item_embedding(items)
