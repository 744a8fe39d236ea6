"""Trains GenRec with transformers on request of a parent process.

    python cmd/bench/training/baseline.py

reads requests and writes responses, one line of JSON each. The first request is

    {"model": DIR, "batches": FILE.safetensors, "threads": N, "learning_rate": R,
     "weight_decay": D, "clip_norm": C, "device": "cpu" or "cuda"}

with the response {"ready": true}. DIR is a model folder in the format of model/parity/make.py; FILE has
float32 tensors I.tokens, I.users, I.items (B, S), I.lengths (B) and I.labels (B, T) for each batch I. Each
further request, {"run": [I, ...]}, trains on these batches. Its response is {"seconds": S, "losses": [...]}:
the total time of the steps, and the mean loss of each in nats. The process exits at the end of its input.

The settings are those of transformers' Trainer: fused AdamW, scaled_dot_product_attention, a linear schedule,
float32; but weight decay applies to all weights, as in genrec. Timing excludes copies to and from the device.
"""

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "model" / "parity"))

import torch
from genrec import attention_mask, embed, load
from safetensors.torch import load_file
from transformers import get_linear_schedule_with_warmup

SEED = 1  # of dropout
SCHEDULE_STEPS = 1_000_000  # makes the learning rate almost constant


def main():
    # stdout is for responses; the output of libraries goes to stderr.
    with os.fdopen(os.dup(1), "w", buffering=1) as responses:
        os.dup2(2, 1)
        trainer = None
        for line in sys.stdin:
            request = json.loads(line)
            if trainer is None:
                trainer = Trainer(request)
                response = {"ready": True}
            else:
                response = trainer.run(request["run"])
            responses.write(json.dumps(response, allow_nan=False) + "\n")


class Trainer:
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
        self.synchronize()
        start = time.perf_counter()
        losses = [self.step(batch) for batch in batches]
        self.synchronize()
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

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def read_batches(path, device):
    """Returns the batches by number, as integer tensors on the device."""
    batches = defaultdict(dict)
    for name, tensor in load_file(path).items():
        number, kind = name.split(".")
        batches[int(number)][kind] = tensor.long().to(device)
    for batch in batches.values():
        batch["mask"] = attention_mask(batch.pop("lengths"), batch["tokens"].shape[1])
    return dict(batches)


if __name__ == "__main__":
    main()
