"""Images one after the other."""

from collections.abc import Iterator
from typing import Self

import numpy as np

__all__ = ["FrameIterator"]


class FrameIterator(Iterator[np.ndarray]):
    """Iterator over the first axis of a stack; its length is the number of images that are left.

    Parameters
    ----------
    frames : ndarray, shape (n_times, rows, cols)
    """

    def __init__(self, frames: np.ndarray) -> None:
        self._frames, self._next = frames, 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        if not len(self):
            raise StopIteration
        self._next += 1
        image: np.ndarray = self._frames[self._next - 1]
        return image

    def __len__(self) -> int:
        return len(self._frames) - self._next
