"""Generates recommendations with transformers or CTranslate2 on request of a parent process.

    python cmd/bench/inference/baselines.py

reads requests and writes responses, one line of JSON each. The first request is

    {"engine": "transformers" or "ctranslate2", "model": DIR, "inputs": [[token, ...], ...],
     "prefix": [token, ...], "texts": [[token, ...], ...], "beams": K, "threads": N,
     "device": "cpu" or "cuda", "precision": "float32", "bfloat16" or another one of the engine}

with the response {"ready": true}. DIR is the folder of a BART model, inputs are the encoder's input of each
user, texts the token sequences of the items, which have the same length and begin with prefix. Each further
request, {"users": N, "batch": B}, generates K items for each of the first N users in batches of B. Its
response is {"seconds": [S, ...], "items": [[index of text, ...], ...]}: the duration of each batch, and the
items of each user, best first. The process exits at the end of its input.

CTranslate2 supports no constraint other than the prefix: it generates sequences of the same length, which
are rarely items, so its lists are empty.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "model" / "parity"))

import torch
from genrec import PAD, load
from transformers import GenerationConfig

BEGIN, END = 0, 2


def main():
    # stdout is for responses; the output of libraries goes to stderr.
    with os.fdopen(os.dup(1), "w", buffering=1) as responses:
        os.dup2(2, 1)
        engine = None
        for line in sys.stdin:
            request = json.loads(line)
            if engine is None:
                engine = {"transformers": Transformers, "ctranslate2": CTranslate2}[request["engine"]](request)
                response = {"ready": True}
            else:
                response = recommend(engine, request["users"], request["batch"])
            responses.write(json.dumps(response) + "\n")


def recommend(engine, users, batch):
    seconds, items = [], []
    for at in range(0, users, batch):
        start = time.perf_counter()
        found = engine.recommend(engine.inputs[at : min(at + batch, users)])
        seconds.append(time.perf_counter() - start)
        items += found
    return {"seconds": seconds, "items": items}


class Transformers:
    def __init__(self, settings):
        torch.set_num_threads(settings["threads"])
        self.inputs, self.device = settings["inputs"], torch.device(settings["device"])
        self.model = load(settings["model"]).to(self.device, getattr(torch, settings["precision"]))
        self.prompt = [END, BEGIN, *settings["prefix"]]
        self.ends = {tuple(text[len(settings["prefix"]) :]): i for i, text in enumerate(settings["texts"])}
        self.children = {}
        for text in self.ends:
            for i, token in enumerate(text):
                self.children.setdefault(text[:i], set()).add(token)
        self.children = {start: sorted(tokens) for start, tokens in self.children.items()}
        self.generation = GenerationConfig(
            num_beams=settings["beams"], num_return_sequences=settings["beams"], do_sample=False,
            length_penalty=0.0, early_stopping=False, max_new_tokens=max(map(len, self.ends)),
            bos_token_id=BEGIN, pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=END,
        )  # fmt: skip

    def allowed(self, _, ids):
        return self.children.get(tuple(ids[len(self.prompt) :].tolist()), [END])

    @torch.inference_mode()
    def recommend(self, inputs):
        width = max(map(len, inputs))
        found = self.model.generate(
            input_ids=torch.tensor([row + [PAD] * (width - len(row)) for row in inputs], device=self.device),
            attention_mask=torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in inputs], device=self.device),
            decoder_input_ids=torch.tensor([self.prompt] * len(inputs), device=self.device),
            prefix_allowed_tokens_fn=self.allowed,
            generation_config=self.generation,
        )
        texts = [self.ends[tuple(ids)] for ids in found[:, len(self.prompt) :].tolist()]
        beams = len(texts) // len(inputs)
        return [texts[i : i + beams] for i in range(0, len(texts), beams)]


class CTranslate2:
    def __init__(self, settings):
        import ctranslate2  # not available for all GPUs of PyTorch

        self.inputs = [list(map(str, row)) for row in settings["inputs"]]
        self.prefix = [str(token) for token in [BEGIN, *settings["prefix"]]]
        self.beams, self.length = settings["beams"], 1 + max(map(len, settings["texts"]))
        folder = os.path.join(settings["model"], "ctranslate2")
        convert(load(settings["model"]), folder)
        self.translator = ctranslate2.Translator(
            folder, device=settings["device"], compute_type=settings["precision"], intra_threads=settings["threads"]
        )

    def recommend(self, inputs):
        found = self.translator.translate_batch(
            inputs,
            target_prefix=[self.prefix] * len(inputs),
            beam_size=self.beams,
            num_hypotheses=self.beams,
            min_decoding_length=self.length,
            max_decoding_length=self.length,
            length_penalty=0,
        )
        lengths = {len(text) for result in found for text in result.hypotheses}
        if lengths != {self.length} or any(len(result.hypotheses) != self.beams for result in found):
            raise AssertionError(f"want {self.beams} texts of {self.length} tokens per user, got lengths {lengths}")
        return [[] for _ in inputs]


def convert(model, folder):
    """Converts a model for CTranslate2, with token numbers as token names."""
    from ctranslate2.converters.transformers import BartLoader

    model.config.normalize_before = False  # an attribute that transformers removed
    spec = BartLoader().get_model_spec(model)
    names = [str(token) for token in range(model.config.vocab_size)]
    spec.register_source_vocabulary(names)
    spec.register_target_vocabulary(names)
    spec.config.bos_token, spec.config.eos_token = str(BEGIN), str(END)
    spec.config.unk_token, spec.config.decoder_start_token = str(PAD), str(END)
    spec.config.add_source_bos = spec.config.add_source_eos = False
    spec.validate()
    spec.optimize(quantization="float32")
    os.makedirs(folder, exist_ok=True)
    spec.save(folder)


if __name__ == "__main__":
    main()
