"""The parity cases: the shapes of models, catalogs, and requests."""

from dataclasses import dataclass

import numpy as np
import torch

from genrec import IGNORED_LABEL, PAD

BEGIN, END, MASK, USER, ITEM, UNDERSCORE = 0, 2, 4, 5, 6, 7
DIGITS, PAIRS = range(8, 18), range(18, 118)
FORCED = (ITEM, UNDERSCORE)  # the beginning of every text


@dataclass(frozen=True)
class Case:
    shape: dict  # BartConfig's fields
    users: int
    items: int
    lengths: tuple  # of each request's input, in tokens
    requested: tuple  # the user of each request, 0 if unknown
    pieces: tuple = ()  # tokens at each position of even texts; empty for uneven texts
    uneven_pieces: range = PAIRS
    longest: int = 0  # uneven text, in tokens behind FORCED
    margin: float = 1e-3  # least difference of scores that decide a search, in nats


def square(width, layers, heads, ffn):
    """Encoder and decoder of one shape."""
    return {
        "d_model": width,
        **{f"{part}_layers": layers for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": heads for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": ffn for part in ("encoder", "decoder")},
    }


SMALL = {
    "even": Case(
        shape=square(16, 2, 2, 32) | {"vocab_size": 118, "max_position_embeddings": 40},
        users=9, items=200, lengths=(27, 11, 19), requested=(1, 9, 4), pieces=(PAIRS, PAIRS),
    ),
    "uneven": Case(
        shape={
            "d_model": 24, "vocab_size": 160, "max_position_embeddings": 32,
            "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 40,
            "decoder_layers": 3, "decoder_attention_heads": 2, "decoder_ffn_dim": 48,
        },
        users=6, items=300, lengths=(24, 9, 17), requested=(6, 2, 3), uneven_pieces=range(100, 160), longest=4,
    ),
    "scaled": Case(
        shape=square(16, 2, 2, 32) | {
            "vocab_size": 118, "max_position_embeddings": 64, "scale_embedding": True,
            "dropout": 0.1, "attention_dropout": 0.2, "activation_dropout": 0.3,
        },
        users=5, items=200, lengths=(64, 12, 30), requested=(5, 2, 0), pieces=(PAIRS, PAIRS, DIGITS),
    ),
}  # fmt: skip
BIG = {
    "base": Case(
        shape=square(768, 6, 12, 3072) | {"vocab_size": 50265, "max_position_embeddings": 1024},
        users=1000, items=12101, lengths=(48, 21), requested=(1000, 17),
        uneven_pieces=range(1000, 2000), longest=3, margin=5e-4,
    ),
    "medium": Case(
        shape=square(256, 3, 8, 1024) | {"vocab_size": 8000, "max_position_embeddings": 512},
        users=1000, items=12101, lengths=(48, 21), requested=(1000, 17),
        uneven_pieces=range(1000, 2000), longest=3, margin=5e-4,
    ),
}  # fmt: skip
CASES = SMALL | BIG


@dataclass
class Requests:
    """A batch of inputs and labels, and the catalog's texts."""

    texts: list  # tuples, including FORCED
    tokens: torch.Tensor  # (B, S)
    users: torch.Tensor  # (B, S)
    items: torch.Tensor  # (B, S)
    lengths: torch.Tensor  # (B)
    labels: torch.Tensor  # (B, T)


def draw_requests(case, rng):
    texts = draw_texts(case, rng)
    rows = [draw_input(length, user, texts, rng) for length, user in zip(case.lengths, case.requested)]
    labels = []
    for row in range(len(rows)):
        wanted = rng.integers(len(texts), size=1 + row % 2)  # one text or two, to have padding
        labels.append([BEGIN, *(token for i in wanted for token in texts[i]), END])
    tokens, users, items = zip(*rows)
    return Requests(
        texts, padded(tokens, PAD), padded(users, 0), padded(items, 0),
        torch.tensor(case.lengths), padded(labels, IGNORED_LABEL),
    )  # fmt: skip


def draw_texts(case, rng):
    """Distinct texts; of different lengths, some are prefixes of others."""
    texts = {}  # keeps the order
    while len(texts) < case.items:
        if case.pieces:
            text = tuple(int(rng.choice(place)) for place in case.pieces)
        else:
            text = tuple(map(int, rng.choice(case.uneven_pieces, rng.integers(1, case.longest + 1))))
        for length in range(1 if not case.pieces and rng.random() < 0.3 else len(text), len(text) + 1):
            if len(texts) < case.items:
                texts[FORCED + text[:length]] = None
    return list(texts)


def draw_input(length, user, texts, rng):
    """Tokens, users and items of a history, without the oldest tokens that do not fit."""
    head = [(BEGIN, 0, 0), *((token, user, 0) for token in (USER, UNDERSCORE, PAIRS[user // 100], PAIRS[user % 100]))]
    tail = [(MASK, 0, 0), (END, 0, 0)]
    body = []
    while len(body) < length:
        item = int(rng.integers(len(texts)))
        body += [(token, 0, item + 1) for token in texts[item]]
    body = body[len(body) - (length - len(head) - len(tail)) :]
    return zip(*head, *body, *tail)


def padded(rows, filler):
    rows = [list(row) for row in rows]
    width = max(map(len, rows))
    return torch.from_numpy(np.array([row + [filler] * (width - len(row)) for row in rows], np.int64))
