"""The running average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights:
    """The exponential moving average of a module's parameters.

    Early on the decay is (1 + n) / (10 + n) after n steps, so that the first weights, which
    are noise, are soon forgotten (as in TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self._live = dict(module.named_parameters())
        self._mean = {name: value.detach().clone() for name, value in self._live.items()}
        self._steps = 0

    def update(self) -> None:
        """Take the weights after a step into the average."""
        self._steps += 1
        decay = min(self.decay, (1 + self._steps) / (10 + self._steps))
        merge = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        live = [value.detach() for value in self._live.values()]
        merge(list(self._mean.values()), live, self._steps)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module has the average as its weights."""
        live = {name: value.detach().clone() for name, value in self._live.items()}
        self._assign(self._mean)
        try:
            yield
        finally:
            self._assign(live)

    def _assign(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._live.items():
                parameter.copy_(values[name])

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs to go on."""
        return {"mean": self._mean, "steps": self._steps}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from another average's state."""
        mean, steps = state["mean"], state["steps"]
        assert isinstance(mean, dict)
        assert isinstance(steps, int)
        for name, value in self._mean.items():
            value.copy_(mean[name])
        self._steps = steps
