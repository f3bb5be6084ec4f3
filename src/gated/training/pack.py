"""Nested Python values as named tensors plus JSON, and back, without pickle."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gated.errors import CheckpointError


def pack(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Take nested dicts, lists and tuples apart into named tensors and a JSON-able skeleton.

    Leaves may be tensors, str, bool, int, float and None. Tuples and keys that are no strings
    survive, because optimisers use both. Raises CheckpointError naming any other leaf.

    >>> import torch
    >>> tensors, skeleton = pack({"step": 3, "weights": [torch.zeros(2)]})
    >>> list(tensors), skeleton
    (['weights.0'], {'step': 3, 'weights': [{'$tensor': 'weights.0'}]})
    >>> unpack(tensors, skeleton)
    {'step': 3, 'weights': [tensor([0., 0.])]}
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _pack(tree, (), tensors)


def _pack(tree: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = ".".join(path)
        while name in tensors:  # {"a.b": x, "a": {"b": y}}
            name += "_"
        tensors[name] = tree
        return {"$tensor": name}
    if isinstance(tree, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in tree):
            return {key: _pack(value, (*path, key), tensors) for key, value in tree.items()}
        items = [[key, _pack(value, (*path, str(key)), tensors)] for key, value in tree.items()]
        return {"$items": items}
    if isinstance(tree, (list, tuple)):
        parts = [_pack(value, (*path, str(i)), tensors) for i, value in enumerate(tree)]
        return {"$tuple": parts} if isinstance(tree, tuple) else parts
    if tree is None or isinstance(tree, (str, bool, int, float)):
        return tree
    raise CheckpointError(
        f"cannot save {'.'.join(path)!r}: got {type(tree).__name__}, expected tensors, numbers, "
        "text, None, or dicts, lists and tuples of them"
    )


def unpack(tensors: dict[str, Tensor], skeleton: Any) -> Any:
    """Put together what `pack` took apart."""
    if isinstance(skeleton, list):
        return [unpack(tensors, part) for part in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    if "$tensor" in skeleton:
        return tensors[skeleton["$tensor"]]
    if "$tuple" in skeleton:
        return tuple(unpack(tensors, part) for part in skeleton["$tuple"])
    if "$items" in skeleton:
        return {key: unpack(tensors, value) for key, value in skeleton["$items"]}
    return {key: unpack(tensors, value) for key, value in skeleton.items()}
