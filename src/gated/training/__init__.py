"""Training: the loop, checkpoints that survive anything, and the directory of a run."""

from gated.training.checkpoint import load_model, load_weights, save_model
from gated.training.config import TrainingConfig
from gated.training.engine import Learner
from gated.training.loop import fit
from gated.training.place import History
from gated.training.progress import Progress
from gated.training.run import RunDirectory
from gated.training.signals import Interrupted

__all__ = [
    "History",
    "Interrupted",
    "Learner",
    "Progress",
    "RunDirectory",
    "TrainingConfig",
    "fit",
    "load_model",
    "load_weights",
    "save_model",
]
