"""Straight trails across an image: satellites, aeroplanes, bleeding columns.

The pieces of a trail are found as stars are, and would be taken for some. Bright peaks vote for straight lines (Hough
transform, Duda & Hart 1972, CACM 15, 11); what counts is then the image itself: along a trail the median of the pixels
is bright, along a chance row of stars it is not.
"""

from dataclasses import dataclass

import numpy as np

from gaiaflux.core.image.background import Background
from gaiaflux.core.stars.detection import find_peaks
from gaiaflux.model.flags import PixelFlag

__all__ = ["find_trails", "flag_trails"]

PEAK_SNR = 4.0  # of the pixels that vote
MOST_PEAKS = 2000
CELL = 16  # [pixel] of which one peak votes: a bright star has many
N_ANGLES = 360
LINE_WIDTH = 6.0  # [pixel] of the bins of the transform: half a step of the angle moves the end of a line by so much
LEAST_PEAKS = 12
VOTE_SIGMA = 6.0  # beyond the number of peaks that a strip of the image holds by chance
MOST_TRAILS = 5
BLOCK = 32  # pixels along a line whose median is taken
BLOCK_SNR = 4.0
LEAST_LENGTH = 96  # [pixel]
LEAST_FILLED = 0.6  # of the blocks between a trail's ends
LEAST_BRIGHT = 0.85  # of the places along a trail: half of those along a row of stars are no brighter than the sky
HALF_SPAN = 20  # [pixel] across a line
SIDES = (12, 20)  # [pixel] where the sky beside a trail is taken
MARGIN = 1  # [pixel] around what is seen of a trail


@dataclass(frozen=True)
class _Line:
    """All points with x cos(angle) + y sin(angle) = distance [pixel]."""

    angle: float
    distance: float

    def across(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * np.cos(self.angle) + y * np.sin(self.angle) - self.distance

    def along(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return -x * np.sin(self.angle) + y * np.cos(self.angle)

    def point(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return (self.distance + across) * c - along * s, (self.distance + across) * s + along * c


def find_trails(image: np.ndarray, pixel_flags: np.ndarray, background: Background) -> np.ndarray:
    """Pixels of straight trails.

    Parameters
    ----------
    image : ndarray of float32, shape (ny, nx)
        Without sky.
    pixel_flags : ndarray of uint8, shape (ny, nx)
        Nonzero = unusable.
    background : Background
        Its noise sets the thresholds.

    Returns
    -------
    ndarray of int64, shape (n_pixels,)
        Flat indices, ascending; empty without trails. A trail has at least 96 pixels and 12 peaks of four times the
        noise; it may end in the image, and is wide as far as the median across it is seen.
    """
    rms = float(np.median(background.rms))
    x, y, value = find_peaks(image, np.full_like(background.rms, PEAK_SNR * rms), background.box_pix)
    usable = pixel_flags[y, x] == 0
    x, y, value = x[usable], y[usable], value[usable]
    order = np.argsort(-value, kind="stable")
    # One of each cell: a bright star has many peaks.
    cell = (y[order] // CELL) * image.shape[1] + x[order] // CELL
    order = order[np.sort(np.unique(cell, return_index=True)[1])[:MOST_PEAKS]]
    x, y = x[order].astype(np.float64), y[order].astype(np.float64)
    found = []
    for _ in range(MOST_TRAILS):
        line = _fullest_line(x, y, image.shape)
        if line is None:
            break
        near = np.abs(line.across(x, y)) < LINE_WIDTH
        pixels = _trail_pixels(image, pixel_flags, _fitted(line, x[near], y[near]), rms)
        if len(pixels):
            found.append(pixels)
        # A row of stars, or a trail that is known now.
        x, y = x[~near], y[~near]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def flag_trails(image: np.ndarray, pixel_flags: np.ndarray, background: Background) -> tuple[np.ndarray, np.ndarray]:
    """Add `PixelFlag.TRAIL` to the flags of a frame.

    Parameters
    ----------
    image, pixel_flags, background
        As for `find_trails`.

    Returns
    -------
    pixel_flags : ndarray of uint8, shape (ny, nx)
        A new array where there is a trail, else the given one.
    pixels : ndarray of int64, shape (n_pixels,)
        Flat indices of the pixels of trails.
    """
    pixels = find_trails(image, pixel_flags, background)
    if len(pixels):
        pixel_flags = pixel_flags.copy()
        pixel_flags.ravel()[pixels] |= np.uint8(PixelFlag.TRAIL)
    return pixel_flags, pixels


def _fullest_line(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> _Line | None:
    """Strip of the image that holds most peaks beyond chance; None where no strip is remarkable."""
    if len(x) < LEAST_PEAKS:
        return None
    ny, nx = shape
    angles = np.arange(N_ANGLES, dtype=np.float32) * np.float32(np.pi / N_ANGLES)
    middle = np.array([0.5 * (nx - 1), 0.5 * (ny - 1)])
    half = 0.5 * float(np.hypot(nx, ny))
    n_bins = int(2.0 * half / LINE_WIDTH) + 2
    dx, dy = ((v / LINE_WIDTH).astype(np.float32) for v in (x - middle[0], y - middle[1]))
    distance = np.outer(np.cos(angles), dx) + np.outer(np.sin(angles), dy) + np.float32(half / LINE_WIDTH)
    bins = distance.astype(np.int32) + n_bins * np.arange(N_ANGLES, dtype=np.int32)[:, None]
    votes = np.bincount(bins.ravel(), minlength=n_bins * N_ANGLES).reshape(N_ANGLES, n_bins)
    # No strip is longer than the diagonal.
    chance = len(x) * LINE_WIDTH * 2.0 * half / (nx * ny)
    best = np.unravel_index(int(np.argmax(votes)), votes.shape)
    if votes[best] < max(LEAST_PEAKS, chance + VOTE_SIGMA * np.sqrt(chance)):
        return None
    angle = float(angles[best[0]])
    from_middle = (best[1] + 0.5) * LINE_WIDTH - half
    return _Line(angle, from_middle + float(middle @ (np.cos(angle), np.sin(angle))))


def _fitted(line: _Line, x: np.ndarray, y: np.ndarray) -> _Line:
    """The line through most of its peaks, by a robust fit of what they lie across it against along."""
    for limit in (LINE_WIDTH, 3.0, 2.0):
        across, along = line.across(x, y), line.along(x, y)
        near = np.abs(across - np.median(across)) < limit
        if np.count_nonzero(near) < 3 or np.ptp(along[near]) == 0:
            break
        slope, offset = np.polyfit(along[near], across[near], 1)
        turn = np.arctan(slope)
        # The foot of the line moves with the turn.
        point = line.point(np.zeros(1), np.array([offset]))
        angle = line.angle - turn
        line = _Line(angle, float(point[0][0] * np.cos(angle) + point[1][0] * np.sin(angle)))
    return line


def _trail_pixels(image: np.ndarray, pixel_flags: np.ndarray, line: _Line, rms: float) -> np.ndarray:
    """Flat indices of the pixels of a trail along a line; empty where the image shows none."""
    ny, nx = image.shape
    corners = line.along(np.array([0.0, nx - 1, 0.0, nx - 1]), np.array([0.0, 0.0, ny - 1, ny - 1]))
    along = np.arange(np.floor(corners.min()), np.ceil(corners.max()) + 1)
    across = np.arange(-HALF_SPAN, HALF_SPAN + 1)
    columns, rows = (np.rint(v).astype(np.int64) for v in line.point(along[:, None], across[None, :].astype(float)))
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    flat = np.where(inside, rows * nx + columns, 0)
    usable = inside & (pixel_flags.ravel()[flat] == 0)
    values = np.where(usable, image.ravel()[flat], np.float32(0.0))
    n_blocks = len(along) // BLOCK
    blocks = values[: n_blocks * BLOCK].reshape(n_blocks, BLOCK, len(across))
    enough = usable[: n_blocks * BLOCK, HALF_SPAN].reshape(n_blocks, BLOCK).sum(axis=1) >= BLOCK // 2
    sides = (np.abs(across) >= SIDES[0]) & (np.abs(across) <= SIDES[1])
    sky = np.median(blocks[:, :, sides].reshape(n_blocks, -1), axis=1)
    profile = np.median(blocks, axis=1) - sky[:, None]
    # The median of n normal values scatters by 1.25 / sqrt(n).
    noise = 1.25 * rms / np.sqrt(BLOCK)
    core = slice(HALF_SPAN - 1, HALF_SPAN + 2)
    bright = np.flatnonzero(enough & (profile[:, core].mean(axis=1) > BLOCK_SNR * noise))
    first, last = _longest_run(bright)
    if (last - first + 1) * BLOCK < LEAST_LENGTH:
        return np.empty(0, np.int64)
    run = blocks[first : last + 1, :, core].mean(axis=2) - sky[first : last + 1, None]
    if np.mean(run[usable[first * BLOCK : (last + 1) * BLOCK, HALF_SPAN].reshape(run.shape)] > 0) < LEAST_BRIGHT:
        return np.empty(0, np.int64)
    seen = np.median(profile[first : last + 1], axis=0) > BLOCK_SNR * noise / np.sqrt(last - first + 1)
    reach = _connected(seen, HALF_SPAN) + MARGIN
    # Its ends lie somewhere in the next blocks.
    ends = along[max((first - 1) * BLOCK, 0)], along[min((last + 2) * BLOCK, len(along) - 1)]
    return _pixels_of_strip(line, ends, float(reach), image.shape)


def _pixels_of_strip(line: _Line, ends: tuple[float, float], reach: float, shape: tuple[int, int]) -> np.ndarray:
    """Flat indices of the pixels of a piece of a line with a width."""
    ny, nx = shape
    # Half a pixel apart, so that no pixel is missed.
    along, across = np.arange(ends[0], ends[1] + 0.5, 0.5), np.arange(-reach, reach + 0.5, 0.5)
    columns, rows = (np.rint(v).astype(np.int64) for v in line.point(along[:, None], across[None, :]))
    inside = (columns >= 0) & (columns < nx) & (rows >= 0) & (rows < ny)
    return np.unique(rows[inside] * nx + columns[inside])


def _longest_run(bright: np.ndarray) -> tuple[int, int]:
    """Ends of the longest run of blocks with gaps of at most two; (0, -1) where it has too many gaps or is none."""
    if len(bright) == 0:
        return 0, -1
    runs = np.split(bright, np.flatnonzero(np.diff(bright) > 3) + 1)
    run = max(runs, key=len)
    first, last = int(run[0]), int(run[-1])
    return (first, last) if len(run) >= LEAST_FILLED * (last - first + 1) else (0, -1)


def _connected(seen: np.ndarray, middle: int) -> int:
    """How far from the middle it goes on to be seen, on both sides."""
    reach = 0
    for step in (1, -1):
        k = middle
        while 0 <= k + step < len(seen) and seen[k + step]:
            k += step
        reach = max(reach, abs(k - middle))
    return min(reach, SIDES[0] - MARGIN)
