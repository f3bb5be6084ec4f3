"""`Stepwise`: library products and a generated kernel per stage and step, for any size."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor

from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Kept, Place
from gated.engines.triton.spelling import heading
from gated.engines.triton.stepwise import graphs
from gated.engines.triton.stepwise.ahead import Ahead
from gated.engines.triton.stepwise.astern import Astern
from gated.engines.triton.stepwise.course import Buffers, Course
from gated.engines.triton.stepwise.plan import Plan
from gated.equations.graph import length

WIDEST = 16384  # units that one program can reduce
ALIGNED = 16  # bytes: what kernels that read a table count on, see functions.memory
GRAPHS = graphs.Graphs(64, 1 << 28, graphs.record if torch.cuda.is_available() else None)

Sizes = Mapping[str, int]
Around = Callable[[Course], None]


class Stepwise:
    """A cell's loop, forward and backward, step by step.

    Args:
        kept, leaving: where the loops' values and gradients stand.
        real: the type that is computed in, "float32" or "float64".

    Attributes:
        infer, train, back: what the loops' steps consist of.
        text: the source of the kernels.
    """

    def __init__(self, kept: Kept, leaving: Leaving, real: str):
        self.real = real
        self.infer, self.train = Ahead(kept, training=False), Ahead(kept, training=True)
        self.back = Astern(kept, leaving)
        texts = [plan.text for plan in (self.infer, self.train, self.back)]
        self.text = "\n\n".join(["\n".join(heading(kept.loop.graph)), "", *texts])

    def obstacle(self, sizes: Sizes) -> str | None:
        """What of some sizes it cannot run."""
        kernels = [k for k in (*self.train.kernels, *self.back.kernels) if k is not None]
        units = [length(width, sizes) for k in kernels if not k.cut for width in k.widths]
        if max(units, default=0) > WIDEST:
            return f"one program cannot reduce {max(units)} units, at most {WIDEST}"
        return None

    def forward(
        self, buffers: Buffers, sizes: Sizes, rows: Rows, *, training: bool
    ) -> None:  # fmt: skip
        """The loop: it leaves the first state and the last ones, in training what is kept."""
        plan = self.train if training else self.infer

        def before(course: Course) -> None:
            for name, place in plan.turns:
                course.at(place).copy_(_there(buffers, f"initial_{name}"))

        def after(course: Course) -> None:
            for state in plan.loop.graph.states if not course.steps else ():
                _there(buffers, f"final_{state.name}").copy_(
                    _there(buffers, f"initial_{state.name}")
                )

        self._run(plan, buffers, sizes, rows, before, after)

    def backward(self, buffers: Buffers, sizes: Sizes, rows: Rows) -> None:
        """The loop backwards: it leaves the gradients of what the loop was given."""
        back = self.back

        def before(course: Course) -> None:
            for name, place in back.carried.items():
                course.at(place).copy_(_there(buffers, f"carry_{name}"))
            sums: list[Place] = [place for places in back.shares.values() for place in places]
            for place in (*sums, *back.summed.values()):
                course.at(place).zero_()

        def after(course: Course) -> None:
            for name, place in back.carried.items():
                carry = _there(buffers, f"carry_{name}").copy_(course.at(place))
                for share in back.shares[name]:
                    carry += course.at(share)
            for name, place in back.summed.items():
                _there(buffers, name).copy_(course.at(place).sum(0))

        self._run(back, buffers, sizes, rows, before, after)

    def _run(
        self, plan: Plan, buffers: Buffers, sizes: Sizes, rows: Rows, before: Around,
        after: Around,
    ) -> None:  # fmt: skip
        """Prepare a plan for a call, or find it prepared, and launch it."""
        banks = [_there(buffers, f"bank_{k}") for k in range(len(plan.loop.banks))]
        external = {name: _aligned(buffers.get(name)) for name in plan.external}
        like = _there(buffers, f"state_{plan.loop.graph.states[0].name}")
        device = like.device

        def make() -> Course:
            return Course(plan, self.text, self.real, sizes, rows, external, like)

        on = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
        with torch.no_grad(), on:
            if graphs.capturing(device):
                entry = graphs.Entry(make())  # all that the caller's graph uses is its own
            else:
                entry = GRAPHS.entry(self._key(plan, external, sizes, rows, like), make)
            with entry.course.lock:
                before(entry.course)
                entry.course.fill(external)
                GRAPHS.run(entry, banks)
                after(entry.course)

    def _key(
        self, plan: Plan, buffers: Buffers, sizes: Sizes, rows: Rows, like: Tensor
    ) -> Hashable:
        """What is the same in calls that are the same."""
        given = tuple(None if t is None else t.dtype for t in buffers.values())
        return (
            self, plan.name, *sizes.items(), rows.steps, rows.batch, rows.reverse,
            None if rows.full else rows.sizes.numpy().tobytes(), given, like.dtype, like.device,
            graphs.stream(like.device), torch.backends.cuda.matmul.fp32_precision,
        )  # fmt: skip


def _there(buffers: Buffers, name: str) -> Tensor:
    found = buffers[name]
    assert found is not None, name
    return found


def _aligned(value: Tensor | None) -> Tensor | None:
    """A buffer as kernels can read it: what they write is memory of its own, which is aligned."""
    return value if value is None or value.data_ptr() % ALIGNED == 0 else value.clone()
