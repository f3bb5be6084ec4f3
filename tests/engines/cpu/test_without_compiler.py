"""What runs where there is no compiler: what came with gated, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gated
from gated.engines.cpu.machine import instruction_set
from gated.engines.cpu.prefill import Wanted, compile_one, source

CODE = """
import sys, torch, gated
from pathlib import Path
from gated.engines.cpu import prefilled
from gated.equations import U, W, b, tanh

prefilled.FOLDER = Path(sys.argv[1])
torch.manual_seed(0)
layer = gated.Recurrent("rnn", 5, 7, engine="cpu")
reference = gated.Recurrent("rnn", 5, 7, engine="reference")
reference.load_state_dict(layer.state_dict())
x = torch.randn(6, 3, 5)
torch.testing.assert_close(layer(x), reference(x))

class Own(gated.Cell):
    def step(self, x, h):
        h = tanh(W @ x + U @ h + b)
        return h

try:
    gated.Recurrent(Own, 5, 7, engine="cpu")(x)
except gated.errors.EngineError as error:
    print(error)
print(gated.Recurrent(Own, 5, 7)(x)[0].shape)
"""


def test_the_catalogue_runs_and_a_cell_of_ones_own_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    text = source(gated.cell("rnn").graph, "float")
    compile_one(Wanted("rnn", text, instruction_set()), tmp_path)
    variables = {key: value for key, value in os.environ.items() if key != "CXX"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, tmp_path],
        capture_output=True, text=True, check=False,
        env={
            **variables, "PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path),
            "GATED_CACHE": str(tmp_path / "cache"),
        },
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "engine 'cpu' cannot run this: its kernel did not come with gated, and there is no C++"
        " compiler: install g++ or clang++, or let CXX name one; use engine='auto'",
        "torch.Size([6, 3, 7])",
    ]
    assert not (tmp_path / "cache").exists()
