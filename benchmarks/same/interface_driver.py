"""What the Python interface gives, as arrays: run in each tree with that tree's package and its results of the demo.

``python interface_driver.py`` in the working directory of the input `demo` writes ``interface/``.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table

from gaiaflux import AperturePhotometryAnalyst, AperturePhotometryDataset, read_psf, run_aperture_photometry

OUT = Path("interface")
SETTINGS = {
    "arcsec": {"photometry": {"aperture_arcsec": 2.0}},
    "workflow's": {
        "series": {"demo": {"images": "x.fits", "header": {"gain": 1.5}}},
        "photometry": {"aperture": {"radii_arcsec": [1.0, 3.0, 1.5], "annulus_arcsec": [6, 9]}},
        "extract_stars": {"source": "detect", "min_snr": 20},
        "refine_wcs": {"max_sip_order": 4},
    },
    "defaults": {},
}


def main() -> None:
    """Write ``interface/values.npz`` and annotated images."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    values: dict[str, np.ndarray] = {}
    images = sorted(Path("made/demo/images").glob("*.fits"))
    packed = sorted(Path("made/packed").glob("*.fits.fz"))[0]
    demo, crowded = (Table.read(f"made/{name}/gaia.fits") for name in ("demo", "crowded"))
    analyses = [(name, images[3], demo, config) for name, config in SETTINGS.items()]
    analyses += [("packed", packed, crowded, {}), ("a wrong field", packed, demo, {})]
    for name, image, gaia, config in analyses:
        values |= {f"{name} {key}": value for key, value in analysed(name, image, gaia, config).items()}
    values |= {f"sums {key}": value for key, value in sums(images[5], demo).items()}
    values |= {f"dataset {key}": value for key, value in dataset().items()}
    values |= {f"psf {key}": value for key, value in psf([path.name.partition(".")[0] for path in images]).items()}
    np.savez(OUT / "values.npz", **values)


def analysed(name: str, image: Path, gaia: Table, config: dict) -> dict[str, np.ndarray]:
    """What an analyst says of an image; writes the annotated copy where there is something to write."""
    analyst = AperturePhotometryAnalyst(image.name, image.parent, gaia, config)
    found = {"aperture before": analyst.phot_aperture}
    analyst.process_image()
    found |= {"status": analyst.status, "reason": analyst.reason, "aperture": analyst.phot_aperture}
    found |= {"image": analyst.image_data, "errors": analyst.image_errors}
    layers = ("SCI", "ERR", "BPM", "CAT", "none")
    found["layers"] = np.array([analyst.find_image_layer(layer) for layer in layers])
    for key in ("star_catalog", "aperture_photometry_table"):
        found |= of_table(key, getattr(analyst, key))
    for key in ("image_original_wcs", "image_new_wcs"):
        wcs = getattr(analyst, key)
        found[key] = wcs.all_pix2world(np.mgrid[:500:100, :500:100].reshape(2, -1).T, 0) if wcs is not None else "none"
    if analyst.aperture_photometry_table is not None:
        analyst.save_new_products_in_image(OUT / f"{name.replace(' ', '_')}-{image.name}")
        # Into the image itself, twice: what is there is replaced.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / image.name
            shutil.copyfile(image, copy)
            again = AperturePhotometryAnalyst(image.name, folder, gaia, config)
            again.process_image()
            again.save_new_products_in_image()
            again.save_new_products_in_image()
            shutil.copyfile(copy, OUT / f"{name.replace(' ', '_')}-in_place-{image.name}")
    return {key: np.asarray(value) for key, value in found.items()}


def of_table(name: str, table: Table | None) -> dict[str, np.ndarray]:
    """Columns, units and facts of a table."""
    if table is None:
        return {name: "none"}
    found = {f"{name}/{key}": np.ma.filled(np.asarray(column)) for key, column in table.columns.items()}
    found[f"{name}@columns"] = np.array(table.colnames)
    found[f"{name}@units"] = np.array([str(column.unit) for column in table.columns.values()])
    return found | {f"{name}@{key}": str(value) for key, value in table.meta.items()}


def sums(image: Path, gaia: Table) -> dict[str, np.ndarray]:
    """Sums in apertures of several radii, at places inside, at the edge, outside and nowhere."""
    analyst = AperturePhotometryAnalyst(image.name, image, gaia, {})
    rng = np.random.default_rng(1)
    places = rng.uniform(-20.0, 1044.0, (300, 2))
    places[::50] = np.nan
    hurt = analyst.image_data.copy()
    hurt[100:110, 300:320] = np.nan
    found: dict[str, np.ndarray] = {}
    for radius in (1.5, 4.0, 7.5):
        for name, pixels in (("", analyst.image_data), ("hurt ", hurt)):
            table = run_aperture_photometry(pixels, analyst.image_errors, places, radius)
            found |= of_table(f"{name}{radius}", table)
    return found


def dataset() -> dict[str, np.ndarray]:
    """Members of the dataset's class, and light curves."""
    data = AperturePhotometryDataset("results/demo/dataset.h5")
    found: dict[str, np.ndarray] = {}
    for name in ("source_id", "wcs_positions", "positions", "timestamps", "exptimes"):
        found |= of_table(name, getattr(data, name))
    found |= {name: getattr(data, name) for name in ("flux", "err_flux", "pscale", "epscale")}
    for star in range(0, len(data.source_id), 97):
        found |= of_table(f"star{star}", data.get_lightcurve(star, "rp"))
    empty = AperturePhotometryDataset()
    return found | {"empty flux": empty.flux, **of_table("empty source_id", empty.source_id)}


def psf(frame_ids: list[str]) -> dict[str, np.ndarray]:
    """PSFs of all frames, drawn at some places."""
    found: dict[str, np.ndarray] = {}
    dy, dx = (grid.ravel() for grid in np.mgrid[-6:6.1:1.5, -6:6.1:1.5])
    for frame_id in frame_ids:
        model = read_psf("results/demo/psf", frame_id)
        for x, y in ((20.3, 40.8), (511.5, 511.5), (1000.1, 700.6)):
            found[f"{frame_id} stamp at {x}, {y}"] = model.stamp(x, y, 12)
            found[f"{frame_id} values at {x}, {y}"] = model.values(x, y, dx, dy)
    return found


if __name__ == "__main__":
    main()
