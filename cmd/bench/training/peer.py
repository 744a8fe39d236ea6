"""Trains GenRec with transformers, step by step as a parent process asks.

    python cmd/bench/training/peer.py

reads and answers lines of JSON. The first one in is

    {"model": DIR, "batches": FILE.safetensors, "threads": N, "learning_rate": R,
     "weight_decay": D, "clip_norm": C, "device": "cpu" or "cuda"}

and is answered by {"ready": true}. DIR is what model/parity/make.py writes; FILE has
float32 tensors I.tokens, I.users, I.items (B, S), I.lengths (B) and I.labels (B, T) for
each batch I. Each further line, {"run": [I, ...]}, trains on those batches and is
answered by {"seconds": S, "losses": [...]}: the time of all steps together and each
step's mean loss in nats. The end of the input ends the process.

The settings are those of transformers' Trainer: fused AdamW, attention by
scaled_dot_product_attention, a linear schedule, float32; only weight decay falls on all
weights, as in genrec. The batches lie on the device before the clock starts, and nothing is copied
back before it stops.
"""

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "model" / "parity"))

import torch
from genrec import attention_mask, embed, load
from safetensors.torch import load_file
from transformers import get_linear_schedule_with_warmup

SEED = 1  # of the dropout masks
SCHEDULE_STEPS = 1_000_000  # a benchmark leaves the learning rate as good as constant


def main():
    # Only answers go to stdout, whatever a library prints.
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        peer = None
        for line in sys.stdin:
            request = json.loads(line)
            if peer is None:
                peer = Peer(request)
                answer = {"ready": True}
            else:
                answer = peer.run(request["run"])
            answers.write(json.dumps(answer, allow_nan=False) + "\n")


class Peer:
    def __init__(self, settings):
        torch.set_num_threads(settings["threads"])
        torch.manual_seed(SEED)
        self.device = torch.device(settings["device"])
        self.clip_norm = settings["clip_norm"]
        self.model = load(settings["model"]).to(self.device).train()
        self.parameters = list(self.model.parameters())
        self.batches = read_batches(settings["batches"], self.device)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
        )
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, 0, SCHEDULE_STEPS)

    def run(self, numbers):
        batches = [self.batches[n] for n in numbers]
        self.wait()
        start = time.perf_counter()
        losses = [self.step(batch) for batch in batches]
        self.wait()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "losses": torch.stack(losses).tolist() if losses else []}

    def step(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model(
            inputs_embeds=embed(self.model, batch["tokens"], batch["users"], batch["items"]),
            attention_mask=batch["mask"],
            labels=batch["labels"],
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def read_batches(path, device):
    """The batches by number, as tensors of token numbers on the device."""
    batches = defaultdict(dict)
    for name, tensor in load_file(path).items():
        number, kind = name.split(".")
        batches[int(number)][kind] = tensor.long().to(device)
    for batch in batches.values():
        batch["mask"] = attention_mask(batch.pop("lengths"), batch["tokens"].shape[1])
    return dict(batches)


if __name__ == "__main__":
    main()
