"""`Resident`: one kernel runs the whole loop over time; states and matrices stay on the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Kept
from gated.engines.triton.ahead import Ahead
from gated.engines.triton.astern import Astern
from gated.engines.triton.spelling import heading
from gated.equations.graph import Size, length
from gated.equations.schedule import REDUCTIONS, Stage, width_of

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Shape:
    """How the work is shared out: `grid` programs of `rows` rows; `constants` of both kernels."""

    grid: tuple[int, int]
    rows: int
    warps: int
    constants: Mapping[str, int]


class Resident:
    """A cell's loops, each as one kernel.

    Args:
        kept: the loops, and where they leave their values, each in a place of its own.
        leaving: where the loop backwards leaves gradients.
        real: the type that is computed in, "float32" or "float64".

    Attributes:
        text: the source of the kernels.
    """

    def __init__(self, kept: Kept, leaving: Leaving, real: str):
        self.kept, self.leaving, self.real = kept, leaving, real
        loop = kept.loop
        stages = [*loop.stages, *kept.back.stages]
        self.widths = _widths(kept, stages)
        shapes = {len(matrix.shape) for matrix in loop.matrices.values()}
        blocks = {m.shape[0].value for m in loop.matrices.values() if len(m.shape) == 3}
        self.dense, self.blocks = 2 in shapes, blocks
        nodes = [n for s in stages for p in s.passes for group in p.values() for n in group]
        self.reduces = any(n.op in REDUCTIONS and n.args[0].op != "ones" for n in nodes)
        self.ahead = Ahead(kept, self.widths)
        self.astern = Astern(kept, leaving, self.widths)
        parts = [*heading(loop.graph), "", "", self.ahead.text(), "", self.astern.text()]
        self.text = "\n".join(parts)

    def obstacle(self, sizes: Sizes) -> str | None:
        """Why it cannot run these sizes."""
        if len(self.blocks) > 1 or (self.blocks and self.dense):
            return "its matrices have different heads"
        if not self.blocks:
            return None
        if self.reduces:
            return "a sum over the units goes beyond a head"
        if len(self.widths) > 1:
            return "its values have different sizes"
        return None

    def forward(
        self, buffers: Mapping[str, Tensor], sizes: Sizes, rows: Rows, *, training: bool
    ) -> None:
        """Run the loop; `buffers` by name, see the engine."""
        first = self.kept.buffers[0].name
        arguments = [
            buffers[name] if training or name in buffers else buffers[first]
            for name in self.ahead.buffers
        ]
        self._launch("forward", arguments, sizes, rows, training=training)

    def backward(self, buffers: Mapping[str, Tensor | None], sizes: Sizes, rows: Rows) -> None:
        """Run the loop backwards."""
        like = buffers[f"carry_{self.kept.loop.graph.states[0].name}"]
        assert like is not None
        shape = self.shape(sizes, rows, like.device)
        held = dict(buffers)
        for _, buffer in self.leaving.totals:
            width = length(buffer.widths[0], sizes)
            held[f"parts_{buffer.name}"] = like.new_empty((shape.grid[0], width))
        arguments = [held.get(name) for name in self.astern.buffers]
        self._launch("backward", arguments, sizes, rows, training=True)
        for _, buffer in self.leaving.totals:
            parts, result = held[f"parts_{buffer.name}"], buffers[buffer.name]
            assert parts is not None
            assert result is not None
            result.copy_(parts.sum(0))

    def _launch(
        self, name: str, arguments: Sequence[Tensor | None], sizes: Sizes, rows: Rows, *,
        training: bool,
    ) -> None:  # fmt: skip
        from gated.engines.triton.launch import REALS, kernels, launch

        device = next(a for a in arguments if a is not None).device
        shape = self.shape(sizes, rows, device)
        tf32 = torch.backends.cuda.matmul.allow_tf32
        constants = {
            **shape.constants, "REAL": REALS[self.real], "FULL": rows.full,
            "REVERSE": rows.reverse, "TRAINING": training,
            "PRECISION": "tf32" if tf32 else "ieee",
        }  # fmt: skip
        offsets, lengths = on_device(rows, device)
        launch(
            kernels(self.text)[name], shape.grid, device,
            [*arguments, offsets, lengths, rows.steps, rows.batch], constants, warps=shape.warps,
        )  # fmt: skip

    def shape(self, sizes: Sizes, rows: Rows, device: torch.device) -> Shape:
        """How the work is shared out."""
        heads = next(iter(self.blocks), 1)
        assert isinstance(heads, int)
        matrices = bool(self.kept.loop.matrices)
        constants = {"HEADS": heads}
        parts = heads
        for k, width in enumerate(self.widths):
            size = length(width, sizes)
            part = size // heads
            block = max(16 if matrices else 1, _power(part))
            if not matrices and not self.reduces:
                part = block = min(block, 32)
                parts = max(parts, -(-size // part))
            constants |= {f"SIZE_{k}": size, f"PART_{k}": part, f"BLOCK_{k}": block}
        rows_each = 16 if matrices else 1
        constants["ROWS"] = rows_each
        return Shape(
            (-(-rows.batch // rows_each), parts), rows_each, 4 if matrices else 1, constants
        )


def _widths(kept: Kept, stages: list[Stage]) -> list[Size]:
    """The widths of all values but numbers, the units' first."""
    found = [state.size for state in kept.loop.graph.states]
    nodes = [n for s in stages for p in s.passes for group in p.values() for n in group]
    nodes += [one.target for s in stages for one in s.sums]
    nodes += [arg for node in nodes for arg in node.args if len(arg.shape) <= 1]
    found += [width_of(node) for node in [*kept.loop.given, *nodes]]
    return [width for width in dict.fromkeys(found) if width != 1]


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()


_placed: WeakKeyDictionary[Rows, dict[torch.device, tuple[Tensor, Tensor]]] = WeakKeyDictionary()


def on_device(rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where the steps begin, (T,), and how many steps each row has, (B,)."""
    found = _placed.setdefault(rows, {})
    if device not in found:
        reach = rows.sizes
        lengths = (reach.unsqueeze(1) > torch.arange(rows.batch)).sum(0, dtype=torch.int32)
        found[device] = (rows.offsets.to(device), lengths.to(device))
    return found[device]
