"""`Noise`: what a regulariser draws in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gated.equations.graph import Size


@dataclass(frozen=True)
class Noise:
    """Random numbers that a layer draws in training, anew for each layer and direction.

    Attributes:
        name: the input of the training equations that takes them; for weights, what they are.
        rate: the probability of a hit: of being dropped, or of staying as it was.
        scope: "step", drawn at every step; "sequence", once a call; "weights", once a call for
            the parameters in `keys`.
        size: units, for an input.
        scaled: whether a hit is 0 and what is left 1 / (1 - rate), as in dropout; otherwise a hit
            is 1 and all else 0.
        keys: the parameters that are hit, for weights.
    """

    name: str
    rate: float
    scope: Literal["step", "sequence", "weights"]
    size: Size = "H"
    scaled: bool = True
    keys: tuple[str, ...] = ()
