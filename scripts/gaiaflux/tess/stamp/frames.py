"""Images one after the other."""

from collections.abc import Iterator
from typing import Self

import numpy as np

__all__ = ["FrameIterator"]


class FrameIterator(Iterator[np.ndarray]):
    """Iterator over images of a stack; its length is the number of images that are left.

    Parameters
    ----------
    frames : ndarray, shape (n_frames, rows, cols)
    order : ndarray of int, shape (n_times,), optional
        Frame of each image, -1 for an image of zeros; without it each frame comes once.
    """

    def __init__(self, frames: np.ndarray, order: np.ndarray | None = None) -> None:
        self._frames, self._next = frames, 0
        self._order = np.arange(len(frames)) if order is None else order

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> np.ndarray:
        if not len(self):
            raise StopIteration
        frame = int(self._order[self._next])
        self._next += 1
        image: np.ndarray = self._frames[frame] if frame >= 0 else np.zeros(self._frames.shape[1:], self._frames.dtype)
        return image

    def __len__(self) -> int:
        return len(self._order) - self._next
