"""A step of a loop as products and kernels, and where values stand between them.

Each stage is a few products by the library and one kernel. What a product multiplies stands in
memory of its own, in the job's type and in the order of its matrices. Products add nothing: a sum
of them stands in several parts, which are added where they are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gated.engines.fused.storage import Buffer, Place
from gated.engines.triton.spelling import Names, literal
from gated.engines.triton.stepwise.merged import Product, Run, runs
from gated.engines.triton.stepwise.stagetext import Kernel, addresses, function
from gated.engines.triton.tile import Tile
from gated.equations.graph import Size
from gated.equations.loop import Forward
from gated.equations.schedule import REDUCTIONS, Stage, width_of
from gated.equations.symbols import Node


class Plan:
    """The stages of a loop in one direction.

    Attributes:
        scratch: the memory between kernels, by name; typed: what of it is in the job's type.
        external: the buffers of the caller, by name.
        sizes: the widths of all rows, each with the number of its constant.
        reads, writes: where values are read and left; `parts` where sums of products stand.
        totals: where a value is summed up over the steps; fixed: where numbers are left.
        moments: the stage in which a value is computed.
        products, kernels: of each stage.
    """

    def __init__(self, loop: Forward, stages: list[Stage], name: str):
        self.loop, self.stages, self.name = loop, stages, name
        self.names, self.sizes = Names(), dict[Size, int]()
        self.scratch: dict[str, Buffer] = {}
        self.typed: set[str] = set()
        self.external: dict[str, Buffer] = {}
        self.reads: dict[Node, list[Place]] = {}
        self.writes: dict[Node, list[Place]] = {}
        self.parts: dict[Node, list[Place]] = {}
        self.totals: dict[Node, list[Place]] = {}
        self.fixed: list[tuple[str, Place]] = []
        self.moments: dict[Node, int] = {}
        for number, stage in enumerate(stages):
            self.moments |= dict.fromkeys((one.target for one in stage.sums), number)
            self.moments |= dict.fromkeys(computed(stage), number)
        self.products: list[list[Product]] = []
        self.kernels: list[Kernel | None] = []
        self.text = ""

    # -- places

    def own(self, name: str, kind: str, *widths: Size, typed: bool = False) -> Buffer:
        """Memory between kernels."""
        if typed:
            self.typed.add(name)
        return self.scratch.setdefault(name, Buffer(name, kind, widths))

    def leave(self, node: Node | None, place: Place) -> None:
        """A value is left in a place, None for zeros."""
        if node is None or node.op == "constant":
            self.fixed.append(("0.0" if node is None else literal(node.value), place))
        else:
            self.writes.setdefault(node, []).append(place)

    def operand(self, node: Node, place: Place) -> None:
        """What a product multiplies is left where the product reads it."""
        self.leave(node, place)

    def settle(self) -> None:
        """Give places to products, and to what outlives the kernel that computes it."""
        for number, stage in enumerate(self.stages):
            found = runs(self.loop, stage)
            self.products.append([self.product(f"{number}_{k}", r) for k, r in enumerate(found)])
        for number, stage in enumerate(self.stages):
            for node in computed(stage):
                for arg in node.args:
                    if self.moments.get(arg, number) != number:
                        self.stash(arg)

    def stash(self, node: Node) -> None:
        """Keep a value for later kernels; sums of products stand in their parts."""
        if node in self.parts or node in self.reads:
            return
        place = Place(self.own(f"between_{len(self.scratch)}", "scratch", width_of(node)))
        self.leave(node, place)
        self.reads[node] = [place]

    def product(self, name: str, run: Run) -> Product:
        """One product: memory for what it multiplies, and for its results."""
        batched, terms = run
        first = terms[0]
        operands = [t.operand for t in (terms if batched or first.transposed else terms[:1])]
        targets = [t.target for t in (terms[:1] if first.transposed and not batched else terms)]
        kind = "turn" if first.operand.op == "state" else "scratch"
        several = self.own(f"operand_{name}", kind, *map(width_of, operands), typed=True)
        for k, node in enumerate(operands):
            self.operand(node, Place(several, k))
        result = self.own(f"product_{name}", "scratch", *map(width_of, targets))
        for k, node in enumerate(targets):
            self.parts.setdefault(node, []).append(Place(result, k))
        return Product(
            first.bank, first.number, len(terms), first.transposed, batched, Place(several),
            Place(result),
        )  # fmt: skip

    # -- what kernels read and write

    def size(self, size: Size) -> str:
        """The constant of a width."""
        return "1" if size == 1 else f"W{self.sizes.setdefault(size, len(self.sizes))}"

    def sum_of(self, widths: Iterable[Size]) -> str:
        """The sum of some widths."""
        counts = Counter(map(self.size, widths))
        return " + ".join(n if count == 1 else f"{count} * {n}" for n, count in counts.items())

    def address(self, place: Place, used: dict[str, Buffer], *, write: bool = False) -> str:
        """Where the first units of the rows stand."""
        buffer = place.buffer
        used[buffer.name] = buffer
        stride, offset = self.sum_of(buffer.widths), self.sum_of(buffer.widths[: place.index])
        end = f" + {offset}" if offset else ""
        match buffer.kind:
            case "vector":
                return f"{buffer.name}{end}"
            case "timed" | "before":
                step = "at" if buffer.kind == "timed" else "before"
                return f"{buffer.name} + {step} * ({stride}){end} + row * ({stride})"
            case "turn":
                step = "after" if write else "now"
                return f"{buffer.name} + {step} * ({stride}){end} + row * ({stride})"
            case _:
                return f"{buffer.name}{end} + row * ({stride})"

    def load(self, tile: Tile, place: Place, used: dict[str, Buffer]) -> str:
        """An expression that reads a value."""
        address, width = self.address(place, used), place.width
        if place.buffer.kind == "vector":
            return tile.load_vector(address, width)
        if place.buffer.kind != "before":
            return tile.load(address, width)
        name = place.buffer.name.removeprefix("state_")
        first = self.address(Place(Buffer(f"initial_{name}", "rows", (width,))), used)
        began = tile.load(first, width, "here & (row >= joined)")
        return f"{tile.load(address, width, 'here & (row < joined)')} + {began}"

    # -- kernels

    def write_kernels(self) -> None:
        """The kernels of all stages."""
        texts = []
        for number, stage in enumerate(self.stages):
            tile, used = Tile(self.names), dict[str, Buffer]()
            lines = self.lines(number, tile, used)
            if not lines:
                self.kernels.append(None)
                continue
            cut = len(tile.widths) == 1 and not self.whole(number, stage)
            kernel = Kernel(
                f"{self.name}_{number}", tuple(used), tuple(tile.widths), len(self.sizes), cut
            )
            self.kernels.append(kernel)
            self.external |= {k: b for k, b in used.items() if k not in self.scratch}
            texts.append(function(kernel, self.external, lines))
        self.text = "\n\n".join([*texts, addresses(self.name, self.external)])

    def left(self, number: int) -> list[Node]:
        """The values that the kernel of a stage leaves."""
        nodes = dict.fromkeys([*self.writes, *self.totals])
        return [node for node in nodes if self.moments.get(node, 0) == number]

    def whole(self, number: int, stage: Stage) -> bool:
        """Whether a program needs all units: they are reduced, or a number of a row is left."""
        places = [place for _, place in self.fixed if number == 0]
        for node in self.left(number):
            places += [*self.writes.get(node, ()), *self.totals.get(node, ())]
        reduced = any(node.op in REDUCTIONS for node in computed(stage))
        return reduced or any(place.width == 1 for place in places)

    def lines(self, number: int, tile: Tile, used: dict[str, Buffer]) -> list[str]:
        """A kernel's work: it loads all that it needs before it stores."""
        nodes, left = computed(self.stages[number]), self.left(number)
        reads = {
            node: " + ".join(self.load(tile, place, used) for place in self.places(node))
            for node in dict.fromkeys([*left, *(arg for node in nodes for arg in node.args)])
            if self.stands(node, number)
        }
        lines = self.opening(tile, used) if number == 0 else []
        lines += tile.operands(left, reads)
        lines += tile.work(nodes, reads, {})
        fixed = self.fixed if number == 0 else []
        written = [place for node in left for place in self.writes.get(node, ())]
        written += [place for _, place in fixed]
        if any(place.buffer.kind == "scratch" and place.buffer.name in used for place in written):
            # memory may be read by one thread and written by another
            lines.append("tl.debug_barrier()")
        for node in left:
            lines += self.stores(node, tile, used)
        for value, place in fixed:
            lines.append(tile.store(self.address(place, used), place.width, value))
        return lines

    def stores(self, node: Node, tile: Tile, used: dict[str, Buffer]) -> list[str]:
        """Lines that leave a value in its places, and add it to its totals."""
        name, lines = self.names.of(node), []
        for place in self.writes.get(node, ()):
            # a row's last state is that of the step after which it does not go on
            rows = "here & (row >= goes)" if place.buffer.name.startswith("final_") else "here"
            address = self.address(place, used, write=True)
            lines.append(tile.store(address, place.width, name, rows))
        for place in self.totals.get(node, ()):
            address = self.address(place, used)
            total = f"{tile.load(address, place.width)} + {name}"
            lines.append(tile.store(address, place.width, total))
        return lines

    def opening(self, tile: Tile, used: dict[str, Buffer]) -> list[str]:
        """What the first kernel of a step does before all else."""
        return []

    def places(self, node: Node) -> list[Place]:
        """Where a value is read: the sum of these."""
        return self.parts.get(node) or self.reads[node]

    def stands(self, node: Node, number: int) -> bool:
        """Whether a value is read from memory in a stage."""
        return node in self.parts or (
            node in self.reads and self.moments.get(node) != number
        )  # fmt: skip


def computed(stage: Stage) -> list[Node]:
    """What the kernel of a stage computes, operands first."""
    found = []
    for widths in stage.passes:
        for size in sorted(widths, key=lambda size: size != 1):
            found += widths[size]
    return found
