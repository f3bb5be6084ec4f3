"""A kernel's source as a program that runs its functions: what is known of its buffers, as C++."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gated.engines.cpu.frame import Kernel
from gated.engines.cpu.generate import Source, generate
from gated.engines.fused.storage import Buffer, Kept, Place
from gated.equations.graph import Graph, Size
from gated.equations.loop import Backward, Forward, backward, forward
from gated.equations.schedule import width_of
from gated.equations.symbols import Node

DRIVER = Path(__file__).with_name("driver.hpp")
# rows that reach each step; of the long ones several blocks of the large products
SMALL = [[1], [1] * 4, [5] * 4, [5, 4, 4, 1], [3] * 70]
LARGE = [[1] * 4, [2] * 3, [5, 4, 4, 1]]
# enough numbers in a matrix for threads to share a product: see SHARED_PRODUCTS
WIDE = 257
EACH = {"timed": "STEP", "maybe": "STEP", "rows": "ROW", "vector": "CALL", "bank": "CALL"}
ROLES = {"added": "ADDED", "also": "ALSO", "carry": "CARRIED"} | dict.fromkeys(
    ("given", "bank", "operand", "matrix", "initial"), "GIVEN"
)
# the kernels' own memory ends with a whole line of the cache, where nobody sees who goes too far
ROUNDED = re.compile(r"(\bconst size_t bytes = \([^;]*) \+ 63\) / 64 \* 64;")
ALLOCATED = "std::aligned_alloc(64, "
EXACT = """
#include <cstdlib>
static void* exactly(size_t bytes) {
    void* found = nullptr;
    if (posix_memalign(&found, 64, bytes)) std::abort();
    return found;
}
"""


def program(graph: Graph, real: str, *, traced: bool = False, small: bool = True) -> str:
    """The kernel of a graph with a main function; without `small` sizes only large ones."""
    loop = forward(graph, traced)
    back = backward(loop)
    kept = Kept(loop, back)
    source = generate(kept, real)
    tables = Tables(loop, back, kept, source)
    kernels = [source.forward, source.training, source.backward]
    return "\n".join([
        EXACT, exact(source.text), DRIVER.read_text(), "namespace driver {",
        *map(tables.buffers, kernels), tables.products(), tables.cases(small=small), "}", "",
    ])  # fmt: skip


def exact(text: str) -> str:
    """The source with its own buffers in exactly their size."""
    text, rounded = ROUNDED.subn(r"\1);", text)
    allocated = text.count(ALLOCATED)
    assert rounded == allocated == 2, "kernel.hpp allocates in another way: change ROUNDED"
    return text.replace(ALLOCATED, "exactly(")


class Tables:
    """What the driver is told of a kernel."""

    def __init__(self, loop: Forward, back: Backward, kept: Kept, source: Source):
        self.loop, self.back, self.kept, self.source = loop, back, kept, source
        places = enumerate(source.letters)
        self.letters = [f"const index_t {letter} = sizes[{k}]; (void){letter};"
                        for k, letter in places]  # fmt: skip

    def function(self, result: str, name: str, lines: Iterable[str]) -> str:
        """A function of the sizes that returns a list."""
        head = f"static {result} {name}(const Numbers& sizes) {{\n    "
        return head + "\n    ".join([*self.letters, "return {", *lines, "};"]) + "\n}"

    def buffers(self, kernel: Kernel) -> str:
        """What a function is passed."""
        rows = []
        for buffer in kernel.buffers:
            head = buffer.name.partition("_")[0]
            role = "ARRIVING" if buffer.kind == "maybe" else ROLES.get(head, "WRITTEN")
            count = self.bank(buffer.name) if buffer.kind == "bank" else total(buffer.widths)
            rows.append(f'    {{"{buffer.name}", {role}, {EACH[buffer.kind]}, {count}}},')
        return self.function("std::vector<Passed>", f"buffers_{kernel.name}", rows)

    def bank(self, name: str) -> str:
        """How many numbers stacked matrices have."""
        head, _, number = name.partition("_")
        if head == "matrix":
            stream = self.loop.streams[int(number)]
            return f"{total(map(width_of, stream.nodes))} * {spelled(width_of(stream.operand))}"
        keys = self.loop.banks[int(number)].keys
        shapes = [self.loop.matrices[key].shape for key in keys]
        return " + ".join(" * ".join(spelled(dim.value or "H") for dim in s) for s in shapes)

    def products(self) -> str:
        """The large products of the way back: the gradients of matrices."""
        buffers = {buffer.name: buffer for buffer in self.source.backward.buffers}
        rows = []
        for k, stream in enumerate(self.loop.streams):
            gradient = buffers.get(f"grad_stream_{k}") or buffers[f"stream_{k}"]
            operand = Buffer(f"operand_{k}", "timed", (width_of(stream.operand),))
            rows.append(f'{{{whole(gradient)}, {whole(operand)}, "matrix_{k}"}},')
        for key, pairs in self.back.outer.items():
            if len(self.loop.matrices[key].shape) == 2:
                rows += [f'{{{part(self.source.products[left])}, {part(self.operand(right))}, ""}},'
                         for left, right in pairs]  # fmt: skip
        return self.function("std::vector<Product>", "products", rows)

    def operand(self, node: Node) -> Place:
        """Where what a matrix was multiplied with stands."""
        return self.kept.states[node.label] if node.op == "state" else self.kept.at[node]

    def cases(self, *, small: bool) -> str:
        """Sizes, each with the rows that reach its steps."""
        parts = math.lcm(*(divisor(w) for b in self.source.backward.buffers for w in b.widths),
                         *(divisor(d.value or "H") for m in self.loop.matrices.values()
                           for d in m.shape))  # fmt: skip
        sizes = [({"H": 5, "D": 3}, SMALL), ({"H": 19, "D": 3}, SMALL)] if small else []
        sizes += [({"H": WIDE, "D": WIDE}, LARGE)]
        rows = []
        for known, batches in sizes:
            letters = [known.get(letter, known["H"] // 2 + 1) for letter in self.source.letters]
            letters = [math.ceil(n / parts) * parts for n in letters]
            rows.append(f"    {{{braces(letters)}, {{{', '.join(map(braces, batches))}}}}},")
        result = "std::vector<std::pair<Numbers, std::vector<Numbers>>>"
        return "\n".join([f"static {result} cases() {{", "    return {", *rows, "    };", "}"])


def spelled(size: Size) -> str:
    """A size in C++."""
    return f"({size})" if isinstance(size, str) else str(size)


def divisor(size: Size) -> int:
    """How many equal parts a size is one of."""
    return int(str(size).partition("/")[2] or 1)


def total(widths: Iterable[Size]) -> str:
    """A sum of sizes in C++."""
    return f"({' + '.join(map(spelled, widths)) or '0'})"


def part(place: Place) -> str:
    """A value of a buffer."""
    widths = place.buffer.widths
    offset = total(widths[: place.index])
    return f'{{"{place.buffer.name}", {offset}, {total(widths)}, {spelled(place.width)}}}'


def whole(buffer: Buffer) -> str:
    """All values of a buffer."""
    width = total(buffer.widths)
    return f'{{"{buffer.name}", 0, {width}, {width}}}'


def braces(numbers: Sequence[int]) -> str:
    """Numbers as a list in C++; a size that begins with one number is no list of so many."""
    return f"Numbers{{{', '.join(map(str, numbers))}}}"
