"""A safetensors file that proves its own integrity, to the last bit.

The header's metadata holds, beside what the caller gives, one SHA-256 per tensor (to name the one
that is damaged) and one of the whole file, taken while its own 64 digits are zeros. Any reader of
safetensors can open the file; no pickle is ever read or written.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gated.errors import CheckpointError
from gated.training.atomic import write_atomically

_ZEROS = "0" * 64
_SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
# A zip (torch.save since 1.6) or a bare pickle of protocol 2 to 5 (before, and pickle.dump).
_PICKLE = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]")


def write_sealed(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    """Write tensors and a JSON-able mapping to one file, atomically; return its SHA-256.

    Every dtype and shape keeps its bits: empty and 0-dim tensors, bfloat16, views. Tensors that
    share memory are written once each, so that plain readers find every name.

    Raises CheckpointError when the disk is full or fails, or when a value is no tensor.
    """
    data, digest = seal(tensors, about)
    write_atomically(path, data)
    return digest


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Read what `write_sealed` wrote: tensors on the CPU, the mapping, the file's SHA-256.

    Raises CheckpointError, naming the damaged tensor or the header, when a single bit differs from
    what was written, when the file is truncated, and when it is a pickle (which is not unpickled).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    return unseal(data, str(path))


def seal(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> tuple[bytes, str]:
    """The bytes of a sealed file and their SHA-256; equal content gives equal bytes."""
    plain = safetensors.torch.save({name: _own(name, value) for name, value in tensors.items()})
    header, body = _split(plain)
    digests = {
        name: hashlib.sha256(_part(body, entry)).hexdigest() for name, entry in header.items()
    }
    metadata = {
        "format": "pt",
        "about": json.dumps(about),
        "tensors": json.dumps(digests),
        "sha256": _ZEROS,
    }
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format asks for tensors that start at multiples of 8
    data = len(text).to_bytes(8, "little") + text + body
    digest, at = _digest(data)
    return data[:at] + digest.encode() + data[at + 64 :], digest


def unseal(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Undo `seal`, checking every bit; `name` is what errors call the data."""
    if _PICKLE.match(data) and data[8:9] != b"{":
        raise CheckpointError(
            f"{name} is a pickle (torch.save or pickle.dump), which can run code when it is read, "
            "so it was not read; save the weights with gated.training.save_model instead"
        )
    try:
        digest, at = _digest(data)
    except ValueError:
        raise CheckpointError(f"{name} is damaged: {_diagnose(data)}") from None
    if data[at : at + 64] != digest.encode():
        raise CheckpointError(f"{name} is damaged: {_diagnose(data)}")
    header, _ = _split(data, metadata=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of read-only buffers; the clones are not
        # Cloned because each tensor deserves its own aligned memory: sums may depend on it.
        tensors = {key: value.clone() for key, value in safetensors.torch.load(data).items()}
    return tensors, json.loads(header["__metadata__"]["about"]), digest


def _own(name: str, value: object) -> Tensor:
    """A contiguous copy on the CPU, so that no two tensors share memory."""
    if not isinstance(value, Tensor):
        raise CheckpointError(
            f"cannot save {name!r}: got {type(value).__name__}, expected a tensor; "
            "put plain values into the configuration"
        )
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _split(data: bytes, metadata: bool = False) -> tuple[dict[str, Any], memoryview]:
    """Header and body of safetensors bytes. Raises ValueError when they make no sense."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or len(data) < 8 + length:
        raise ValueError("truncated")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("no table")
    if not metadata:
        header.pop("__metadata__", None)
    return header, memoryview(data)[8 + length :]


def _part(body: memoryview, entry: dict[str, Any]) -> memoryview:
    start, end = entry["data_offsets"]
    return body[start:end]


def _digest(data: bytes) -> tuple[str, int]:
    """SHA-256 of the bytes with the seal's digits set to zero, and where those digits are."""
    length = int.from_bytes(data[:8], "little")
    found = _SEAL.search(data, 8, min(8 + length, len(data)))
    if found is None:
        raise ValueError("no seal")
    at = found.start(1)
    view = memoryview(data)
    digest = hashlib.sha256(view[:at])
    digest.update(_ZEROS.encode())
    digest.update(view[at + 64 :])
    return digest.hexdigest(), at


def _diagnose(data: bytes) -> str:
    """What is wrong with bytes whose seal is broken, in words."""
    try:
        header, body = _split(data, metadata=True)
        digests = json.loads(header.pop("__metadata__")["tensors"])
        expected = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if len(body) < expected:
            return f"it is truncated, {expected - len(body)} of {expected} bytes are missing"
        damaged = [
            name
            for name, entry in header.items()
            if hashlib.sha256(_part(body, entry)).hexdigest() != digests[name]
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"its header is damaged, cut off ({len(data)} bytes in all), or not gated's"
    if damaged:
        return f"the checksum of tensor {', '.join(damaged)} does not match"
    return "the checksum of its header does not match"
