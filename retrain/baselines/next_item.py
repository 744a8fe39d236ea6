"""Baselines of docs/ACCURACY.md: SASRec and BSARec with full cross-entropy, on a file of
`user item item ...` lines, leave-one-out, all items ranked.

SASRec is Kang and McAuley 2018 (arXiv 1808.09781) with the softmax over all items in
place of sampled negatives. BSARec adds the frequency filter of Shin et al. 2024 (arXiv
2312.10325) to its attention, with the settings they publish for Beauty.

Training: every prefix is an example with the loss on its last position, as by BSARec's
authors, or (--positions) all positions of a user at once, as by SASRec's. Split: the last
item but one of every user is held out for validation (the usual split), or (--tenth) only
that of a tenth of the users (or of one per hundred interactions, if that is more), as in
genrec. The epoch with the best validation NDCG@10 is tested once.
"""

import argparse
import math
import random
import time

import torch
import torch.nn.functional as F
from torch import nn

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("file")
options.add_argument("--model", choices=["sasrec", "bsarec"], default="sasrec")
options.add_argument("--positions", action="store_true", help="train on all positions of a user at once")
options.add_argument("--tenth", action="store_true", help="validate on a tenth of the users, train on the others' last item but one")
options.add_argument("--allow-seen", action="store_true", help="allow recommending items of the history")
options.add_argument("--epochs", type=int, default=30)
options.add_argument("--every", type=int, default=2, help="epochs between validations")
options.add_argument("--width", type=int, default=64)
options.add_argument("--layers", type=int, default=2)
options.add_argument("--heads", type=int, default=1)
options.add_argument("--dropout", type=float, default=0.5)
options.add_argument("--rate", type=float, default=1e-3)
options.add_argument("--batch", type=int, default=256)
options.add_argument("--length", type=int, default=50, help="maximum number of items of a history, the newest")
options.add_argument("--alpha", type=float, default=0.7, help="BSARec: share of the filter")
options.add_argument("--cutoff", type=int, default=5, help="BSARec: number of frequencies in the low-pass filter")
options.add_argument("--seed", type=int, default=1)
options.add_argument("--limit", type=float, default=math.inf, help="seconds after which no epoch starts")


class Filter(nn.Module):
    """Rescales the high frequencies of the sequence (BSARec, equations 7 to 9)."""

    def __init__(self, o):
        super().__init__()
        self.cutoff = o.cutoff // 2 + 1
        self.beta = nn.Parameter(torch.randn(1, 1, o.width))
        self.norm, self.drop = nn.LayerNorm(o.width), nn.Dropout(o.dropout)

    def forward(self, x):  # (B, L, D)
        spectrum = torch.fft.rfft(x, dim=1, norm="ortho")  # (B, L/2+1, D)
        keep = torch.arange(spectrum.shape[1], device=x.device)[:, None] < self.cutoff
        low = torch.fft.irfft(spectrum * keep, n=x.shape[1], dim=1, norm="ortho")  # (B, L, D)
        return self.norm(self.drop(low + self.beta**2 * (x - low)) + x)


class Layer(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads, self.alpha = o.heads, o.alpha
        self.qkv, self.out = nn.Linear(o.width, 3 * o.width), nn.Linear(o.width, o.width)
        self.up, self.down = nn.Linear(o.width, 4 * o.width), nn.Linear(4 * o.width, o.width)
        self.norm1, self.norm2 = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
        self.drop = nn.Dropout(o.dropout)
        self.filter = Filter(o) if o.model == "bsarec" else None

    def forward(self, x, mask):  # (B, L, D)
        rows, length, width = x.shape
        attended = self.norm1(x) if self.filter is None else x
        q, k, v = self.qkv(attended).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, L, D/H)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = self.drop(self.out(y.transpose(1, 2).reshape(rows, length, width)))
        if self.filter is None:
            x = x + y
            return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))
        x = self.alpha * self.filter(x) + (1 - self.alpha) * self.norm1(y + x)
        return self.norm2(x + self.drop(self.down(F.gelu(self.up(x)))))


class Model(nn.Module):
    def __init__(self, o, items):
        super().__init__()
        self.items, self.position_embeddings = nn.Embedding(items + 1, o.width), nn.Embedding(o.length, o.width)
        for table in (self.items, self.position_embeddings):
            nn.init.normal_(table.weight, std=0.02)
        self.norm, self.last = nn.LayerNorm(o.width), nn.LayerNorm(o.width)
        self.drop = nn.Dropout(o.dropout)
        self.layers = nn.ModuleList(Layer(o) for _ in range(o.layers))

    def forward(self, x):  # (B, L) -> (B, L, D); padded on the left, so that the newest item is last
        length = x.shape[1]
        positions = torch.arange(length, device=x.device).flip(0)
        h = self.drop(self.norm(self.items(x) + self.position_embeddings(positions)))
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = causal & (x > 0)[:, None, None, :] | torch.eye(length, dtype=torch.bool, device=x.device)
        for layer in self.layers:
            h = layer(h, mask)
        return self.last(h)


def padded(o, rows, device):
    """(B, L) of the newest items, zeros on the left. BSARec's spectrum requires a fixed
    length; otherwise columns that are zero in all rows are left out."""
    length = o.length if o.model == "bsarec" else min(o.length, max(map(len, rows)))
    return torch.tensor([[0] * (length - len(r)) + r[-length:] for r in rows], device=device)


@torch.no_grad()
def evaluate(o, model, device, cases):
    model.eval()
    hits, gain = {1: 0, 5: 0, 10: 0}, {5: 0.0, 10: 0.0}
    for at in range(0, len(cases), 512):
        batch = cases[at : at + 512]
        histories, targets = [h for h, _ in batch], torch.tensor([a for _, a in batch], device=device)
        scores = model(padded(o, histories, device))[:, -1] @ model.items.weight.T  # (B, Items+1)
        scores[:, 0] = -math.inf
        if not o.allow_seen:
            rows = torch.tensor([i for i, h in enumerate(histories) for _ in h], device=device)
            scores[rows, torch.tensor([item for h in histories for item in h], device=device)] = -math.inf
        rank = (scores > scores.gather(1, targets[:, None])).sum(1)
        for k in hits:
            hits[k] += (rank < k).sum().item()
        for k in gain:
            gain[k] += ((rank < k) / torch.log2(rank + 2.0)).sum().item()
    return {f"hr{k}": n / len(cases) for k, n in hits.items()} | {f"ndcg{k}": g / len(cases) for k, g in gain.items()}


def epoch(o, rng, examples):
    """Returns batches of examples of similar length, in random order."""
    rng.shuffle(examples)
    batches = []
    for at in range(0, len(examples), o.batch * 16):
        chunk = sorted(examples[at : at + o.batch * 16], key=len)
        batches += [chunk[i : i + o.batch] for i in range(0, len(chunk), o.batch)]
    rng.shuffle(batches)
    return batches


def loss_of(o, model, device, batch):
    x = padded(o, [e[:-1] for e in batch], device)
    if o.positions:
        y = padded(o, [e[1:] for e in batch], device)
        return F.cross_entropy(model(x)[y > 0] @ model.items.weight.T, y[y > 0])
    return F.cross_entropy(model(x)[:, -1] @ model.items.weight.T, torch.tensor([e[-1] for e in batch], device=device))


def main():
    o = options.parse_args()
    rng, device = random.Random(o.seed), "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(o.seed)
    histories = [[int(x) for x in line.split()[1:]] for line in open(o.file)]
    items = max(map(max, histories))
    held_out = range(len(histories))
    if o.tenth:
        count = max(len(histories) // 10, sum(map(len, histories)) // 100)
        held_out = set(rng.sample(held_out, min(count, len(histories))))
    validation = [(histories[u][:-2], histories[u][-2]) for u in held_out]
    test = [(h[:-1], h[-1]) for h in histories]
    train = [h[: -2 if u in held_out else -1] for u, h in enumerate(histories)]
    if o.positions:
        examples = [h[-o.length - 1 :] for h in train if len(h) > 1]
    else:
        examples = [h[max(0, end - o.length - 1) : end] for h in train for end in range(2, len(h) + 1)]

    model = Model(o, items).to(device)
    optimizer = torch.optim.Adam(model.parameters(), o.rate)
    best, best_weights, best_epoch, started = -1.0, None, 0, time.time()
    for number in range(1, o.epochs + 1):
        if time.time() - started > o.limit:
            break
        model.train()
        for batch in epoch(o, rng, examples):
            optimizer.zero_grad()
            loss_of(o, model, device, batch).backward()
            optimizer.step()
        if number % o.every and number < o.epochs:
            continue
        valid = evaluate(o, model, device, validation)
        print(f"epoch {number} valid ndcg10={valid['ndcg10']:.4f} hr10={valid['hr10']:.4f} {time.time() - started:.0f} s", flush=True)
        if valid["ndcg10"] > best:
            best, best_epoch = valid["ndcg10"], number
            best_weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(best_weights)
    result = evaluate(o, model, device, test)
    print(f"epoch {best_epoch}, {time.time() - started:.0f} s on {device}")
    print("accuracy " + " ".join(f"{name}={result[name]:.4f}" for name in ("hr1", "hr5", "ndcg5", "hr10", "ndcg10")))


main()
