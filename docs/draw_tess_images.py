"""Draw `tess_images.png`: full-frame images of the demonstration, their sky, and light curves of three stars.

``python docs/draw_tess_images.py`` after ``make demo``.
"""

from pathlib import Path

import h5py
import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from gaiaflux.report.ccd_images import read_ccd

HERE = Path(__file__).parent
FIELD = HERE.parent / "results" / "tess" / "demo_ffi"
CURVES = ((1002, "an eclipsing star, its neighbour 1.9 pixels away"), (2001, "transits of 1 %"), (3001, "a 2-day sine"))


def main() -> None:
    """Mean image, sky in time, and light curves by the PSF."""
    ccd = read_ccd(FIELD / "s0001-1-3" / "c1800" / "prepared.h5")
    assert ccd is not None
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1.0])
    left, right = top.subplots(1, 2, width_ratios=[1.0, 1.6])
    norm = AsinhNorm(10.0, -10.0, 2e4)
    drawn = left.imshow(ccd.mean_image, origin="lower", cmap="viridis", norm=norm, extent=ccd.extent)
    top.colorbar(drawn, ax=left, shrink=0.85, label="electron / s")
    left.set_title("mean image without the sky", fontsize="medium")
    left.set_xlabel("column")
    left.set_ylabel("row")
    start = np.floor(ccd.mjd_tdb[0])
    right.plot(ccd.mjd_tdb - start, ccd.sky, ".", ms=4, color="#56B4E9")
    right.set_title("sky, and how it lies on the images", fontsize="medium")
    right.set_xlabel(f"MJD - {start:.0f} (d)")
    right.set_ylabel("electron / s / pixel")
    right.set_ylim(0.0, 1.75 * np.nanmax(ccd.sky))
    for number, (k, image) in enumerate(zip(ccd.shown, ccd.strip, strict=True)):
        inset = right.inset_axes((0.01 + 0.99 / len(ccd.shown) * number, 0.72, 0.95 / len(ccd.shown), 0.26))
        inset.imshow(image, origin="lower", vmin=np.nanmin(ccd.strip), vmax=np.nanmax(ccd.strip))
        inset.set(xticks=[], yticks=[])
        inset.set_xlabel(f"{ccd.mjd_tdb[k] - start:.2f}", fontsize="x-small", labelpad=1)
    draw_curves(bottom.subplots(1, 3), start)
    figure.savefig(HERE / "tess_images.png", dpi=80)


def draw_curves(axes, start) -> None:  # noqa: ANN001
    """Light curves of some stars, without the frames that have a flag."""
    with h5py.File(FIELD / "c1800" / "dataset.h5") as file:
        stars, time = file["stars/star_id"][:], file["frames/mjd_tdb"][:]
        good = file["frames/flags"][:] == 0
        for ax, (star, text) in zip(axes, CURVES, strict=True):
            flux = file["psf/flux_cal"][int(np.searchsorted(stars, star))]
            ax.plot(time[good] - start, flux[good] / np.nanmedian(flux[good]), ".", ms=3, color="#0072B2")
            ax.set_title(f"TIC {star}: {text}", fontsize="small")
            ax.set_xlabel(f"MJD - {start:.0f} (d)")
        axes[0].set_ylabel("flux / median")


if __name__ == "__main__":
    main()
