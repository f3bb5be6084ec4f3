"""The trained sentence model as the page takes it."""

from __future__ import annotations

from typing import Any

from gated.inspect.lesson import grammar
from gated.inspect.lesson.sentiment import HIDDEN, facts, trained
from gated.inspect.recording.symbols import by_symbol

__all__ = ["sentence_model"]


def sentence_model() -> dict[str, Any]:
    """Vocabulary, weights by symbol, the grammar's rules, and how often the model is right."""
    model, about = trained(), facts()
    weights = by_symbol(model.lstm)
    return {
        "vocabulary": about["vocabulary"],
        "adjectives": grammar.ADJECTIVES,
        "intensifiers": grammar.INTENSIFIERS,
        "negations": grammar.NEGATIONS,
        "mild": grammar.MILD,
        "beforeBut": grammar.BEFORE_BUT,
        "close": grammar.CLOSE,
        "famous": grammar.FAMOUS,
        "units": HIDDEN,
        "embedding": model.embedding.weight.tolist(),
        "parameters": {key: value.flatten().tolist() for key, value in weights.items()},
        "readout": {
            "weight": model.readout.weight.flatten().tolist(),
            "bias": model.readout.bias.item(),
        },
        "sentences": about["sentences"],
        "weights": about["weights"],
        "accuracy": about["accuracy"],
    }
