"""Kernels compiled for sm_90, which needs no GPU: what its assembler says of them.

Compilation runs in a process of its own: in this one, Triton interprets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

CHILD = """\
import json, re, subprocess, sys
from pathlib import Path

import torch
import triton
import triton.backends.nvidia
import triton.language as tl
from triton.backends.compiler import GPUTarget

from gated.cells import cell
from gated.engines.fused.leaving import Leaving
from gated.engines.fused.rows import Rows
from gated.engines.fused.storage import Kept
from gated.engines.triton.launch import kernels
from gated.engines.triton.resident import Resident
from gated.equations.loop import backward, forward
from gated.equations.maps import Heads, mapped

tools = Path(triton.backends.nvidia.__file__).with_name("bin")
loop = forward(mapped(cell("lstm"), Heads(24)).graph)
kept = Kept(loop, backward(loop), instead=False)
resident = Resident(kept, Leaving(kept), "float32", torch.bfloat16)
share = resident.share({"H": 768, "D": 768}, Rows(8, 16, None, False))
for which in (resident.ahead, resident.astern):
    kernel = kernels(resident.text)[which.name]
    constants = {
        **share.constants, "REAL": tl.float32, "FULL": True, "REVERSE": False, "TRAINING": True,
        "PRECISION": "ieee", "offsets": None, "lengths": None, "d_c": None,
    }
    wide = ("final_", "carry_", "state_c")
    types = {name: "*fp32" if name.startswith(wide) else "*bf16" for name in which.buffers}
    types |= {"steps": "i32", "batch": "i32"} | dict.fromkeys(constants, "constexpr")
    names = kernel.arg_names
    source = triton.compiler.ASTSource(
        fn=kernel,
        signature={name: types[name] for name in names},
        constexprs={(names.index(name),): v for name, v in constants.items() if name in names},
        attrs={(k,): [["tt.divisibility", 16]] for k, n in enumerate(names) if types[n][0] == "*"},
    )
    built = triton.compile(
        source, target=GPUTarget("cuda", 90, 32),
        options={"num_warps": share.warps, "num_stages": 1, "enable_fp_fusion": True},
    )
    place = Path(sys.argv[1]) / which.name
    place.write_bytes(built.asm["cubin"])
    call = lambda *words: subprocess.run([*words, place], capture_output=True, text=True).stdout
    used = call(tools / "cuobjdump", "-res-usage")
    lines = call(tools / "nvdisasm", "-c").splitlines()
    labels = {line.strip(": \\n"): k for k, line in enumerate(lines) if line.startswith(".L_")}
    jumps = [(k, re.search(r"BRA.*`\\((.L_\\w+)\\)", line)) for k, line in enumerate(lines)]
    ends = [(k, found[1]) for k, found in jumps if found]
    step = max((lines[labels[to] : k] for k, to in ends if labels.get(to, k) < k), key=len)
    print(json.dumps({
        "registers": int(re.search(r"REG:(\\d+)", used)[1]),
        "stack": int(re.search(r"STACK:(\\d+)", used)[1]),
        "shared": built.metadata.shared,
        "instructions": sum("/*" in line for line in step),
        "barriers": sum("BAR.SYNC" in line for line in step),
        "products": sum("HMMA" in line for line in step),
    }))
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, int]]:
    """What the kernels of an LSTM of 24 heads of 32 units use: forward, backward."""
    folder = tmp_path_factory.mktemp("compiled")
    environment = {key: v for key, v in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, check=False,
        env={**environment, "TRITON_CACHE_DIR": str(folder / "cache"),
             "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_steps_values_stay_in_registers(compiled: list[dict[str, int]]) -> None:
    assert [kernel["stack"] for kernel in compiled] == [0, 0]
    assert max(kernel["registers"] for kernel in compiled) < 128


def test_a_steps_warps_meet_twice(compiled: list[dict[str, int]]) -> None:
    assert [kernel["barriers"] for kernel in compiled] == [2, 2]


def test_products_run_on_tensor_cores(compiled: list[dict[str, int]]) -> None:
    assert [kernel["products"] for kernel in compiled] == [8, 8]
    assert max(kernel["instructions"] for kernel in compiled) < 500
