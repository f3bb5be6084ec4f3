"""Initialisations: what a layer's parameters are before training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from gated.errors import OptionError
from gated.layers.parameters import Parameters


class Init(Protocol):
    """What parameters are before training."""

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""


@dataclass(frozen=True)
class Uniform:
    """Every parameter from U(-1/sqrt(H), 1/sqrt(H)), with the draws of `torch.nn`'s layers.

    With convolutions H is H times the number of taps of a kernel, as in `torch.nn.Conv2d`.
    """

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""
        bound = parameters.bound
        for tensor in parameters.drawn():
            nn.init.uniform_(tensor, -bound, bound)


@dataclass(frozen=True)
class Orthogonal:
    """Orthogonal recurrent matrices, input matrices of Glorot's uniform form, biases 0.

    Each gate's matrix is drawn by itself. Of heads each block is orthogonal; a diagonal is of ±1,
    which is what an orthogonal diagonal matrix is; a convolution's kernel is orthogonal as a matrix
    (rows, columns * taps); a matrix that is not square has orthonormal rows or columns. Vectors
    that are no matrices, as peepholes, are drawn as by `Uniform`.

    Source: A. M. Saxe, J. L. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks, ICLR 2014; X. Glorot, Y. Bengio, Understanding the
    difficulty of training deep feedforward neural networks, AISTATS 2010, equation 16.
    """

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""
        bound = parameters.bound
        for role, block in parameters.blocks():
            if role.kind == "bias":
                nn.init.zeros_(block)
            elif role.kind == "vector":
                nn.init.uniform_(block, -bound, bound)
            elif role.kind == "diagonal":
                _diagonal(block, role.recurrent)
            else:
                for matrix in block if role.kind == "heads" else (block,):
                    _orthogonal(matrix) if role.recurrent else nn.init.xavier_uniform_(matrix)


@dataclass(frozen=True)
class IRNN:
    """Recurrent matrices the identity, other weights from N(0, 0.001), biases 0.

    0.001 is the standard deviation. Of heads each block is the identity; a diagonal is 1; a
    convolution's kernel is the identity at its middle tap; a matrix that is not square has 1 on its
    main diagonal.

    Source: Q. V. Le, N. Jaitly, G. E. Hinton, A simple way to initialize recurrent networks of
    rectified linear units, arXiv:1504.00941 (2015); made for `rnn-relu`.
    """

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""
        for role, block in parameters.blocks():
            if role.kind == "bias":
                nn.init.zeros_(block)
            elif not role.recurrent or role.kind == "vector":
                nn.init.normal_(block, 0.0, 0.001)
            elif role.kind == "diagonal":
                nn.init.ones_(block)
            elif role.kind == "kernel":
                nn.init.dirac_(block)
            else:
                for matrix in block if role.kind == "heads" else (block,):
                    nn.init.eye_(matrix)


@dataclass(frozen=True)
class Chrono:
    """`Uniform`, but with biases for memories of up to `max_steps` steps.

    The bias of the gate that keeps the memory is log(u), u from U(1, max_steps - 1): the steps that
    it lasts, 1 / (1 - f), are spread evenly from 2 to max_steps. That of a gate that writes into it
    and is not tied to the first is -log(u). Signs are turned where the equations keep by 1 - z.
    Which gates these are is found in the equations.

    Source: C. Tallec, Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018, the chrono
    initialization.

    Args:
        max_steps: the longest span that the memory should bridge, T_max there; at least 3.
    """

    max_steps: int

    def __post_init__(self) -> None:
        steps = self.max_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 3:
            raise OptionError(f"Chrono: max_steps is {steps!r}, expected an integer of at least 3")

    def fill(self, parameters: Parameters) -> None:
        """Fill the stored tensors of one layer and direction in place."""
        memories = parameters.memories()
        Uniform().fill(parameters)
        done: dict[str, Tensor] = {}
        for memory in memories:
            for key, sign in memory.keep.items():
                if key not in done:
                    done[key] = sign * self._logarithms(parameters.bias(key)[0])
                    parameters.set_bias(key, done[key])
            first, sign = next(iter(memory.keep.items()))
            for key, rises in memory.write.items():
                if key not in done:
                    done[key] = -rises * sign * done[first]
                    parameters.set_bias(key, done[key])

    def _logarithms(self, like: Tensor) -> Tensor:
        return nn.init.uniform_(torch.empty_like(like), 1, self.max_steps - 1).log_()


def _orthogonal(matrix: Tensor) -> None:
    """Orthogonal in the type of the matrix; in half precision there is no such decomposition."""
    wide = torch.promote_types(matrix.dtype, torch.float32)
    matrix.copy_(nn.init.orthogonal_(torch.empty_like(matrix, dtype=wide)))


def _diagonal(block: Tensor, recurrent: bool) -> None:
    """What the draw of a matrix of one element is, for each unit."""
    if recurrent:
        block.copy_(torch.randint_like(block, 2) * 2 - 1)
    else:
        nn.init.uniform_(block, -math.sqrt(3), math.sqrt(3))
