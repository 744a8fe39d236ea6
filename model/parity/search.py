"""transformers' beam search over a catalog, and the margin of its decisions."""

import math
from itertools import pairwise

import torch
from transformers import GenerationConfig, LogitsProcessor

from cases import BEGIN, END, FORCED
from genrec import PAD, embed

BEAMS = 20
PROMPT = (END, BEGIN, *FORCED)
SCORE_TOLERANCE = 1e-5  # nats, between the search and a plain forward pass


def search(model, r):
    """Returns beams (B, BEAMS), indices of texts, their scores, and the margin.

    A score is the sum of the log-probabilities of the tokens behind FORCED, and of
    </s> if texts differ in length. If they do, a step ranks the continuations of all
    beams together: a </s> among the best BEAMS ends its text, and the best BEAMS
    others continue. The margin is the least difference, in nats, between two scores
    that the search had to choose between.
    """
    free = [text[len(FORCED) :] for text in r.texts]
    uneven = len(set(map(len, free))) > 1
    ends = {text + (END,) * uneven: i for i, text in enumerate(free)}
    children = {}
    for text in ends:
        for i, token in enumerate(text):
            children.setdefault(text[:i], set()).add(token)
    children = {start: sorted(tokens) for start, tokens in children.items()}

    def allowed(_, ids):
        # A beam without continuations has no score; its token does not matter.
        return children.get(tuple(ids[len(PROMPT) :].tolist()), [END])

    log = StepLog()
    rows = len(r.tokens)
    found = model.generate(
        inputs_embeds=embed(model, r.tokens, r.users, r.items),
        attention_mask=(torch.arange(r.tokens.shape[1]) < r.lengths[:, None]).long(),
        decoder_input_ids=torch.tensor([PROMPT] * rows),
        prefix_allowed_tokens_fn=allowed,
        logits_processor=[log],
        generation_config=GenerationConfig(
            num_beams=BEAMS, num_return_sequences=BEAMS, do_sample=False,
            length_penalty=0.0, early_stopping=False, max_new_tokens=max(map(len, ends)),
            bos_token_id=BEGIN, pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=END,
            return_dict_in_generate=True, output_scores=True,
        ),
    )  # fmt: skip
    best = [trimmed(ids[len(PROMPT) :].tolist(), ends) for ids in found.sequences]
    beams = torch.tensor([ends[text] for text in best]).view(rows, BEAMS)
    scores = found.sequences_scores.view(rows, BEAMS)
    margin = math.inf
    for row in range(rows):
        ranked, clear = log.replay(row, ends)
        if [ends[text] for _, text in ranked[:BEAMS]] != beams[row].tolist():
            raise AssertionError(f"request {row}: the search does not follow the rules in its docstring")
        margin = min(margin, clear, *(a[0] - b[0] for a, b in pairwise(ranked)))
        check_scores(model, r, row, [list(ends)[i] for i in beams[row]], scores[row])
    return beams, scores, margin


def trimmed(ids, ends):
    """The text without the padding behind it."""
    return next(tuple(ids[:n]) for n in range(1, len(ids) + 1) if tuple(ids[:n]) in ends)


def check_scores(model, r, row, texts, scores):
    """Compares a request's scores with those of a forward pass over the whole texts."""
    width = max(map(len, texts))
    ids = torch.tensor([PROMPT + text + (PAD,) * (width - len(text)) for text in texts])
    one = slice(row, row + 1)
    length = int(r.lengths[row])
    logits = model(
        inputs_embeds=embed(model, r.tokens[one, :length], r.users[one, :length], r.items[one, :length]).expand(
            len(texts), -1, -1
        ),
        decoder_input_ids=ids[:, :-1],
    ).logits
    chosen = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[:, len(PROMPT) - 1 :, 0]
    counted = torch.arange(width) < torch.tensor([len(text) for text in texts])[:, None]
    worst = float(((chosen * counted).sum(1) - scores).abs().max())
    if worst > SCORE_TOLERANCE:
        raise AssertionError(f"request {row}: the search's scores differ by {worst:.2g} from those of a forward pass")


class StepLog(LogitsProcessor):
    """Records the continuations of each beam; runs after the catalog's mask."""

    def __init__(self):
        self.steps = []  # each a list of (text so far, {token: log-probability}), by beam

    def __call__(self, input_ids, scores):
        step = []
        for ids, log_probs in zip(input_ids, scores):
            tokens = log_probs.isfinite().nonzero()[:, 0]
            step.append((tuple(ids[len(PROMPT) :].tolist()), dict(zip(tokens.tolist(), log_probs[tokens].tolist()))))
        self.steps.append(step)
        return scores

    def replay(self, row, ends):
        """Repeats the search for one request: all finished texts with their scores, best
        first, and the least difference between a kept and a dropped text."""
        running, finished, margin = {(): 0.0}, [], math.inf
        for step in self.steps:
            offered = {}
            for start, tokens in step[row * BEAMS : (row + 1) * BEAMS]:
                if start in running:
                    offered |= {start + (token,): running[start] + p for token, p in tokens.items()}
            ranked = sorted(((score, text) for text, score in offered.items()), reverse=True)
            going = [c for c in ranked if c[1] not in ends]
            if going:
                finished += [c for c in ranked[:BEAMS] if c[1] in ends]
                margin = min(margin, border(ranked), border(going))
            else:
                finished += ranked
            running = {text: score for score, text in going[:BEAMS]}
        return sorted(finished, reverse=True)[: BEAMS + 1], margin


def border(ranked):
    return ranked[BEAMS - 1][0] - ranked[BEAMS][0] if len(ranked) > BEAMS else math.inf
