"""Models and training states on disk: safetensors plus JSON, checksummed, never pickle.

A model is `model.safetensors` (which alone is complete: it carries its configuration) beside
`config.json` (the same configuration for people and other tools). A training state is one file
per generation, `state-000042.safetensors`; the last two are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gated.errors import CheckpointError
from gated.training.atomic import disk_errors, sweep
from gated.training.pack import pack, unpack
from gated.training.record import (
    CONFIG,
    about,
    check_about,
    differences,
    jsonable,
    read_record,
    split_record,
    write_config,
)
from gated.training.sealed import read_sealed, write_sealed

MODEL = "model.safetensors"
_STATE = re.compile(r"state-(\d{6,})\.safetensors")


def save_model(directory: str | Path, tensors: Mapping[str, Tensor], config: dict[str, Any]) -> str:
    """Write `model.safetensors` and `config.json`; return the SHA-256 of the model.

    The renaming of `model.safetensors` is the moment that counts: killed before it, the old model
    with its old configuration still loads; killed after it, the new one does.

    Args:
        directory: Made when it does not exist.
        tensors: Any dtypes and shapes, typically `module.state_dict()`.
        config: JSON-able; the names format_version, gated_version and checksum are taken.

    Raises:
        OptionError: `config` cannot be JSON or uses a taken name.
        CheckpointError: The disk is full or fails; what was there before is intact.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     _ = save_model(directory, {"w": torch.ones(2)}, {"hidden_size": 8})
    ...     load_model(directory)
    ({'w': tensor([1., 1.])}, {'hidden_size': 8})
    """
    directory = Path(directory)
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    checksum = write_sealed(directory / MODEL, tensors, about("model", config=jsonable(config)))
    write_config(directory, config, checksum)
    return checksum


def load_model(directory: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_model` wrote, every bit of it checked: tensors on the CPU, configuration.

    Raises CheckpointError when there is no model, when a bit of it is damaged (the message names
    the tensor), when it is a pickle, when it was written by a newer gated, and when `config.json`
    was edited so that it no longer says what the model was saved with.
    """
    path = Path(directory) / MODEL
    beside, said = split_record(read_record(Path(directory)))
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist; expected a directory that holds a trained model "
            "(a run is only complete once its training has finished)"
        )
    tensors, found, checksum = read_sealed(path)
    check_about(found, path, "model")
    config: dict[str, Any] = found["config"]
    # Another checksum beside it is what a kill between the two renamings leaves: not an error.
    edited = differences(config, beside) if said.get("checksum") == checksum else []
    if edited:
        raise CheckpointError(
            f"{Path(directory) / CONFIG} does not say what the model was saved with: "
            f"{'; '.join(edited)}; undo the edit, or delete the file: {MODEL} holds a copy"
        )
    return tensors, config


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy tensors into a module that must have exactly these names and shapes.

    Raises CheckpointError that lists the names that are missing, unknown or of another shape;
    the module is then untouched.
    """
    own = module.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in tensors]
    wrong += [f"{name} is unknown to the model" for name in tensors if name not in own]
    wrong += [
        f"{name} has shape {tuple(tensors[name].shape)}, the model expects {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if wrong:
        raise CheckpointError(
            f"{origin} does not fit the model: {'; '.join(wrong)}; "
            "build the model with the configuration that the weights were saved with"
        )
    module.load_state_dict(dict(tensors))


def save_state(directory: Path, tree: Any) -> Path:
    """Write a training state (nested dicts, lists, tensors, numbers) as the next generation.

    The two newest generations stay. Raises CheckpointError when the disk is full or fails; every
    earlier generation is then intact.
    """
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    present = _states(directory)
    newest = max(present, default=-1)
    path = directory / f"state-{newest + 1:06d}.safetensors"
    tensors, skeleton = pack(tree)
    write_sealed(path, tensors, about("training state", tree=skeleton))
    for generation, old in present.items():
        if generation < newest:
            with suppress(OSError):  # it is in nobody's way; the next save tries again
                old.unlink()
    return path


def load_state(directory: Path) -> Any | None:
    """The newest training state, or None when none was ever completed; half-written files go.

    Raises CheckpointError when the newest is damaged; the message says whether the one before it
    is intact and how to resume from that one.
    """
    sweep(directory)
    present = _states(directory)
    if not present:
        return None
    newest = max(present)
    try:
        return _read_state(present.pop(newest))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_offer(present)}") from error


def _offer(older: dict[int, Path]) -> str:
    """What can be done when the newest state is damaged."""
    for generation in sorted(older, reverse=True):
        with suppress(CheckpointError):
            _read_state(older[generation])
            return (
                f"the one before it, {older[generation].name}, is intact: "
                "delete the damaged file and resume, the result will be the same"
            )
    return "no earlier one is intact: train again from the start (overwrite)"


def _read_state(path: Path) -> Any:
    tensors, found, _ = read_sealed(path)
    check_about(found, path, "training state")
    return unpack(tensors, found["tree"])


def _states(directory: Path) -> dict[int, Path]:
    found = {path: _STATE.fullmatch(path.name) for path in directory.glob("state-*")}
    return {int(match[1]): path for path, match in found.items() if match}
