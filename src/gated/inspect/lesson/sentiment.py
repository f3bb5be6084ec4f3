"""The lesson's own model: words to vectors, one LSTM layer, and a verdict after every word."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gated.errors import DataError
from gated.inspect.lesson.grammar import VOCABULARY
from gated.layers import LSTM

__all__ = ["Sentiment", "facts", "trained"]

EMBEDDING, HIDDEN = 6, 8


class Sentiment(nn.Module):
    """Reads a sentence and says after every word how likely it is praise.

    Axes: B batch, T words, D embedding, H units.

    Example:
        >>> import torch
        >>> model = Sentiment()
        >>> model(torch.tensor([model.indices("not good")])).shape
        torch.Size([1, 2])
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), EMBEDDING)
        self.lstm = LSTM(EMBEDDING, HIDDEN, batch_first=True, forget_bias=1.0)
        self.readout = nn.Linear(HIDDEN, 1)

    def forward(self, words: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The verdict after each word, as logits.

        Args:
            words: (B, T) indices in the vocabulary.
            lengths: (B,) how many of them count.

        Returns:
            (B, T): above 0 is praise.
        """
        hidden, _ = self.lstm(self.embedding(words), lengths=lengths)
        logits: Tensor = self.readout(hidden).squeeze(-1)
        return logits

    def indices(self, text: str) -> list[int]:
        """The words' places in the vocabulary.

        Raises:
            DataError: a word is not in it.
        """
        unknown = [word for word in text.split() if word not in VOCABULARY]
        if unknown:
            raise DataError(
                f"{text!r}: the model never met {', '.join(map(repr, unknown))}; "
                f"it knows {len(VOCABULARY)} words: {' '.join(VOCABULARY)}"
            )
        return [VOCABULARY.index(word) for word in text.split()]

    def verdicts(self, texts: Sequence[str]) -> Tensor:
        """The logit after the last word of each sentence, (B,)."""
        rows = [torch.tensor(self.indices(text)) for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        words = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        logits: Tensor = self(words, lengths)
        return logits[torch.arange(len(rows)), lengths - 1]


def trained() -> Sentiment:
    """The model with the weights that come along.

    Example:
        >>> bool(trained().verdicts(["not at all boring and quite enjoyable"]) > 0)
        True
    """
    model = Sentiment()
    data = resources.files("gated.inspect.lesson").joinpath("sentiment.safetensors").read_bytes()
    model.load_state_dict(safetensors.torch.load(data))
    return model.eval()


def facts() -> dict[str, Any]:
    """What the training recorded: the vocabulary, how it was trained, how often it is right."""
    text = resources.files("gated.inspect.lesson").joinpath("sentiment.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
