"""Trains the lesson's model anew: `python -m gated.inspect.lesson.train [FOLDER]`, a minute."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gated.inspect.lesson.grammar import (
    CLOSE,
    VOCABULARY,
    Example,
    examples,
    is_held_out,
)
from gated.inspect.lesson.sentiment import Sentiment

__all__ = ["accuracy", "held_out", "train", "write"]

SEED, STEPS, BATCH, RATE = 7, 3000, 256, 0.01
JUDGED, JUDGE_SEED = 2000, 1_000_003
SHARPNESS = 2.0  # a score s is learned as the probability sigmoid(2 s)


def train(
    steps: int = STEPS, batch: int = BATCH, rate: float = RATE, seed: int = SEED
) -> Sentiment:
    """A model trained on sentences of the grammar, without those that are held out.

    The target after each phrase is σ(2 s) of the score s so far; other words have none.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = Sentiment()
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step, (words, lengths, targets, counts) in enumerate(islice(_batches(batch, seed), steps)):
        logits = model(words, lengths)
        losses = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = (losses * counts).sum() / counts.sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            logging.getLogger(__name__).info("step %d of %d: loss %.4f", step, steps, loss.item())
    return model.eval()


def held_out(count: int = JUDGED) -> list[Example]:
    """Different held-out sentences whose score is not 0, always the same ones."""
    found: dict[str, Example] = {}
    for one in examples(JUDGE_SEED):
        if is_held_out(one.text) and abs(one.scores[-1][1]) > 1e-9:
            found.setdefault(one.text, one)
        if len(found) == count:
            return list(found.values())
    raise AssertionError("the sentences do not end")


def accuracy(model: Sentiment, judged: list[Example]) -> float:
    """The share of sentences on whose sign the model and the grammar agree."""
    with torch.no_grad():
        praise = model.verdicts([one.text for one in judged]) > 0
    truth = torch.tensor([one.scores[-1][1] > 0 for one in judged])
    return (praise == truth).double().mean().item()


def write(model: Sentiment, folder: Path) -> dict[str, Any]:
    """Judge the model; write sentiment.safetensors and sentiment.json; return the JSON."""
    judged = held_out()
    groups = {
        "all": judged,
        "with a negation": [o for o in judged if {"not", "never", "hardly"} & set(o.words)],
        "with but": [o for o in judged if "but" in o.words],
        "of three phrases": [o for o in judged if len(o.scores) == 3],
        "that are close calls": [o for o in judged if abs(o.scores[-1][1]) < CLOSE],
    }
    about = {
        "vocabulary": VOCABULARY,
        "seed": SEED,
        "steps": STEPS,
        "sentences": STEPS * BATCH,
        "weights": sum(p.numel() for p in model.parameters()),
        "accuracy": {
            name: {"right": round(accuracy(model, group) * len(group)), "of": len(group)}
            for name, group in groups.items()
        },
    }
    (folder / "sentiment.safetensors").write_bytes(safetensors.torch.save(model.state_dict()))
    (folder / "sentiment.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    return about


def _batches(size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Words (B, T), lengths (B,), targets (B, T), and 1 where a target counts (B, T)."""
    places = {word: k for k, word in enumerate(VOCABULARY)}
    drawn = (one for one in examples(seed) if not is_held_out(one.text))
    while True:
        batch = list(islice(drawn, size))
        rows = [torch.tensor([places[word] for word in one.words]) for one in batch]
        words = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        targets, counts = torch.zeros(words.shape), torch.zeros(words.shape)
        for row, one in enumerate(batch):
            for at, score in one.scores:
                if not is_held_out(" ".join(one.words[: at + 1])):
                    targets[row, at], counts[row, at] = score, 1.0
        yield (
            words,
            torch.tensor([len(r) for r in rows]),
            torch.sigmoid(SHARPNESS * targets),
            counts,
        )


def main() -> None:
    """Train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    about = write(train(), folder)
    logging.info("held out: %s", about["accuracy"])


if __name__ == "__main__":
    main()
