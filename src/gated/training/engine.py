"""Devices, precision and, later, several processes: Lightning Fabric, weighed.

Fabric wraps a module and an optimiser and otherwise leaves the loop alone, which a bit-exact
resume needs. The Lightning Trainer owns the loop and pickles its checkpoints. Hugging Face's
accelerate does what Fabric does, but keeps global state, and brings huggingface_hub and a second
set of configuration files. Plain PyTorch would do for one device; mixed precision, device names
and `torchrun` would then be our own code. Fabric costs 1.5 s to import, so only training does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from gated.errors import OptionError, TrainingError
from gated.training.config import TrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Learner(Protocol):
    """What a task hands to the loop."""

    @property
    def module(self) -> nn.Module:
        """The module that is trained."""

    def __len__(self) -> int:
        """How many training examples there are."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The examples of these indices, shape (B,), as tensors on the CPU."""

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean loss of a batch on the module's device, a 0-dim tensor; in training mode."""

    def validate(self) -> dict[str, float]:
        """Figures on held-out data; "loss" is the one that early stopping watches.

        Called in evaluation mode without gradients; it moves its own batches to the device.
        """


class Objective(nn.Module):
    """Learner and module as one module from batch to loss, so that wrappers see every forward."""

    def __init__(self, learner: Learner):
        super().__init__()
        self.module = learner.module
        self._loss = learner.loss

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss. Raises TrainingError when it is no 0-dim tensor."""
        loss = self._loss(batch)
        if not isinstance(loss, Tensor) or loss.ndim:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TrainingError(f"loss() gave {got}, expected a 0-dim tensor; take its mean")
        return loss


def make_fabric(config: TrainingConfig) -> Fabric:
    """One device of Fabric's. Raises OptionError when the device is not there."""
    from lightning_fabric import Fabric

    try:
        fabric = Fabric(accelerator=config.device, devices=1, precision=config.precision)  # type: ignore[arg-type]
    except Exception as error:
        # Fabric raises its own, ValueError or RuntimeError, depending on the accelerator.
        raise OptionError(f"device={config.device!r} cannot be used: {error}") from error
    fabric.launch()
    return fabric


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices alone. Raises TrainingError when nothing can learn."""
    trainable = [value for value in module.parameters() if value.requires_grad]
    if not trainable:
        raise TrainingError(
            "the module has no parameter that requires a gradient: nothing to train"
        )
    matrices = [value for value in trainable if value.ndim > 1]
    others = [value for value in trainable if value.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.learning_rate
    )
