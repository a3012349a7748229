"""Whether machine code that was kept works in this process: two small kernels whose answers are known."""

import logging
from functools import cache
from typing import Any

import numpy as np

from gaiaflux.core.kernels.machine_code import load_function
from gaiaflux.core.kernels.numba_code import InterfaceError
from gaiaflux.core.kernels.signature import parse_signature
from gaiaflux.core.kernels.source import Device, Source

__all__ = ["give_up", "machine_code_works"]

LOG = logging.getLogger(__name__)
SIGNATURE = (
    "float64(float64[:, ::1], float32[::1], boolean[::1], uint8[:, :, ::1], int64, float64, boolean, uint16[::1])"
)
# What changed private members have been seen to raise, or would.
BROKEN = (InterfaceError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@Device
def _weighted(value: float, weight: float) -> float:
    return weight * value * value


def _lengths(
    grid: np.ndarray,
    weights: np.ndarray,
    use: np.ndarray,
    cube: np.ndarray,
    first: int,
    scale: float,
    doubled: bool,
    out: np.ndarray,
) -> float:
    """Reads no content: where arrays are passed in another way, it could be anywhere."""
    of_grid = grid.shape[0] + 3 * grid.shape[1] + 5 * grid.size + 7 * grid.itemsize
    of_cube = cube.shape[0] + 3 * cube.shape[1] + 5 * cube.shape[2] + 7 * cube.itemsize
    return scale * (of_grid + 100 * of_cube + 11 * len(weights) + 13 * len(use) + 17 * len(out) + 19 * first + doubled)


def _contents(
    grid: np.ndarray,
    weights: np.ndarray,
    use: np.ndarray,
    cube: np.ndarray,
    first: int,
    scale: float,
    doubled: bool,
    out: np.ndarray,
) -> float:
    total = 0.0
    for j in range(2):
        for i in range(first, 3):
            if use[i]:
                total += _weighted(grid[j, i], weights[i]) + cube[j, i, 3]
        out[j] = 10 * j + first
    return total * scale * 2.0 if doubled else total * scale


# Result and `out`. In this order: the second is not called unless the first gives its answer.
ANSWERS: dict[Any, tuple[float, list[int]]] = {_lengths: (3017.25, [0, 0]), _contents: (77.25, [1, 11])}


@cache
def give_up(reason: str) -> None:
    """Say, once for each reason, that kernels are compiled in each process.

    Parameters
    ----------
    reason : str
        One sentence.
    """
    LOG.warning("kernels are compiled by numba in each process, which takes longer: %s", reason)


@cache
def machine_code_works() -> bool:
    """Whether kernels with known answers, loaded as every kernel is, give them.

    Returns
    -------
    bool
        False: kernels must be compiled by numba's public interface. The reason is logged.
    """
    for function, known in ANSWERS.items():
        try:
            called = load_function(Source(function, parse_signature(SIGNATURE), False))
        except BROKEN as error:
            give_up(f"{type(error).__name__}: {error}")
            return False
        out = np.zeros(2, np.uint16)
        answer = called(*_arguments(), 1, 0.75, True, out), out.tolist()
        if answer != known:
            give_up(f"a kernel gives {answer[0]} and {answer[1]} where {known[0]} and {known[1]} are known")
            return False
    return True


def _arguments() -> list[np.ndarray]:
    grid, cube = np.arange(6.0).reshape(2, 3), np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    return [grid, np.array([9.0, 1.5, 2.5], np.float32), np.array([True, True, False]), cube]
