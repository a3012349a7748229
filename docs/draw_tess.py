"""Draw `tess.png`: a blended star of the demonstration by PSF and by aperture.

``python docs/draw_tess.py`` after ``make demo``.
"""

from pathlib import Path

import numpy as np
from matplotlib.colors import AsinhNorm
from matplotlib.figure import Figure

from gaiaflux import AperturePhotometry, PSFPhotometry

HERE = Path(__file__).parent
FIELD = HERE.parent / "results" / "tess" / "demo"
STAR = 1001


def main() -> None:
    """Mean image, model and residual of a stamp; light curves by both methods."""
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.0, 1.0])
    stamps, curves = top.subplots(1, 3), bottom.subplots(1, 2)
    for axes, kind, colour in zip(curves, (PSFPhotometry, AperturePhotometry), ("#0072B2", "#E69F00"), strict=True):
        with kind(STAR, FIELD, HERE, "tpf") as target:
            target.photometry()
            if kind is PSFPhotometry:
                draw_stamp(stamps, target)
            table = target.lightcurve[target.lightcurve["quality"] == 0]
        flux = table["flux"] / np.nanmedian(table["flux"])
        axes.plot(table["time"], flux, ".", ms=3, color=colour)
        axes.set_title(f"TIC {STAR} by {'PSF' if kind is PSFPhotometry else 'aperture'}", fontsize="medium")
        axes.set_xlabel("BTJD (d)")
        axes.set_ylabel("flux / median")
    figure.savefig(HERE / "tess.png", dpi=80)


def draw_stamp(axes, target) -> None:  # noqa: ANN001
    """Mean of the images, the fit's model of it, and what is left."""
    image, model = target.sumimage, target.record.model
    stars = target.catalog
    for ax, (title, values) in zip(
        axes, (("mean image", image), ("model", model), ("image - model", image - model)), strict=True
    ):
        if title == "image - model":
            limit = float(np.abs(values).max())
            drawn = ax.imshow(values, origin="lower", cmap="RdBu", vmin=-limit, vmax=limit)
        else:
            drawn = ax.imshow(values, origin="lower", cmap="viridis", norm=AsinhNorm(linear_width=20.0))
        inside = stars.meta["in_stamp"]
        size = 4.0 * 10 ** (0.2 * (15.0 - np.asarray(stars["tmag"][inside])))
        ax.scatter(stars["column_stamp"][inside], stars["row_stamp"][inside], s=size, fc="none", ec="white", lw=0.8)
        ax.set_title(title, fontsize="medium")
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label="electron / s")


if __name__ == "__main__":
    main()
