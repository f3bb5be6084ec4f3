"""The C++ function around the stages of a loop: what it is passed, its worker, its threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from gated.engines.cpu.spelling import indented
from gated.engines.cpu.writer import Writer
from gated.engines.fused.storage import Buffer


@dataclass(frozen=True)
class Kernel:
    """One function of the generated source: its name, and the buffers that it is passed."""

    name: str
    buffers: tuple[Buffer, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The buffers' names."""
        return tuple(buffer.name for buffer in self.buffers)


@dataclass
class Parts:
    """What a loop has of its own around the stages, as lines of C++.

    `shared` are members that all threads see; `before` and `after` stand around the loop, `opening`
    and `closing` around the stages of a step, `start` and `finish` around those of a worker;
    `prepare` comes before each turn of steps.
    """

    backward: bool = False
    shared: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    prepare: list[str] = field(default_factory=list)
    opening: list[str] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)
    finish: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def function(writer: Writer, name: str, letters: tuple[str, ...], parts: Parts) -> str:
    """The whole function."""
    steps = [line for stage in writer.stages for line in writer.stage_lines(stage)]
    sizes = [f"const index_t {writer.size(x)};" for x in letters]
    values = "".join(f", {writer.size(x)}" for x in letters)
    backward = "true" if parts.backward else "false"
    members = [f"real* {buffer.name};" for buffer in writer.buffers]
    members += [f"Packed<real> {name};" for name in writer.packed.values()]
    return "\n".join([
        f'extern "C" void {name}(void** arrays, const int64_t* sizes, index_t steps,',
        "        index_t batch, const int64_t* row_sizes, const int64_t* offsets, int reverse,",
        "        int threads) {",
        *indented([
            *(f"const index_t {writer.size(x)} = sizes[{k}]; (void){writer.size(x)};"
              for k, x in enumerate(letters)),
            "const Rows rows{steps, batch, row_sizes, offsets, reverse != 0};",
            "struct Shared {", *indented([*members, *parts.shared]), "} w;",
            *(f"w.{buffer.name} = static_cast<real*>(arrays[{k}]);"
              for k, buffer in enumerate(writer.buffers)),
            *_packing(writer),
            *parts.before,
            "struct Worker {",
            *indented([
                "const Shared& w; const Rows& rows; Team<real>* team;",
                *sizes,
                "const int me;",
                *(f"Buffer<real> {name};" for name in writer.scratch),
                "Several<real> several;",
                "void start(index_t first, index_t count) {", *indented(parts.start), "}",
                "void finish(index_t first, index_t count) {", *indented(parts.finish), "}",
                "void prepare(index_t from, index_t to, index_t first, index_t end) {",
                *indented(["(void)from, (void)to, (void)first, (void)end;", *parts.prepare]),
                "}",
                "ONCE_MEMBER void step(index_t t, index_t first, index_t count, index_t slot) {",
                *indented([
                    "const index_t at = rows.offsets[t] + first; (void)at, (void)slot;",
                    *parts.opening, *steps, *parts.closing,
                ]),
                "}",
            ]),
            "};",
            "const auto make = [&](int me, Team<real>* team, index_t count) {",
            *indented([
                f"Worker worker{{w, rows, team{values}, me}};",
                "const index_t turn = std::min(std::max(count, TURN), count * steps); (void)turn;",
                "worker.several.reserve(turn);",
                *(f"worker.{name}.reserve({'turn' if buffer.kind == 'turn' else 'count'} * "
                  f"{writer.stride(buffer)});" for name, buffer in writer.scratch.items()),
                "return worker;",
            ]),
            "};",
            f"over_time<real>(rows, threads, {backward}, packed, make);",
            *parts.after,
        ]),
        "}",
        "",
    ])  # fmt: skip


def _packing(writer: Writer) -> list[str]:
    """Lines that pack the matrices, once a call, and count their numbers."""
    lines = [
        "index_t packed = 0, uses = 0;",
        "for (index_t t = 0; t < steps; ++t) uses += row_sizes[t];",
        "// one or two rows at a time hardly gain from what packing costs",
        "const index_t often = batch <= 2 ? uses / 4 : uses;",
    ]
    for (bank, first, count, transposed), name in writer.packed.items():
        matrix = writer.loop.matrices[writer.loop.banks[bank].keys[first]]
        *heads, rows, depth = (writer.size(dim.value or "H") for dim in matrix.shape)
        one = " * ".join([*heads, rows, depth])
        rows = f"{count} * {rows}" if count > 1 else rows
        if transposed:
            rows, depth = depth, rows
        lines.append(
            f"packed += w.{name}.pack(w.bank_{bank} + {first} * {one}, {heads[0] if heads else 1}, "
            f"{rows}, {depth}, {'true' if transposed else 'false'}, often, threads);"
        )
    return lines


def copied(target: str, source: str, count: str) -> str:
    """A line that copies consecutive numbers."""
    return f"std::memcpy({target}, {source}, ({count}) * sizeof(real));"
