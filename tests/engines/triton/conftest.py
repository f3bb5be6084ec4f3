"""Kernels run in Triton's interpreter, on tensors of the CPU."""

import os

# Triton asks when it decorates a kernel: before anything imports one
os.environ["TRITON_INTERPRET"] = "1"
