from contextlib import closing

import numpy as np
import pytest
from astropy.io import fits

from gaiaflux.io.batch_file import BatchReader, BatchWriter
from gaiaflux.io.tess.catalog import read_tess_catalog
from gaiaflux.io.tess.frame_batch import read_frame_batch
from gaiaflux.io.tess.scene_file import write_scene
from gaiaflux.sim.tess.ccd_files import write_ccd_field
from gaiaflux.sim.tess.ccd_setup import CcdSetup
from gaiaflux.sim.tess.ccd_stars import pair
from gaiaflux.sim.tess.stars import StampStar
from gaiaflux.tess.batch import TargetFiles
from gaiaflux.tess.image_targets import measure_stars, stars_near
from gaiaflux.tess.images.batch import prepare_batch
from gaiaflux.tess.images.field import prepare_images
from gaiaflux.tess.images.found_catalog import ImageGroup, find_catalog
from gaiaflux.tess.images.joined import join_frames
from gaiaflux.tess.images.reference import image_reference
from gaiaflux.tess.images.scene import solve_scene
from gaiaflux.tess.inputs import SCENE, open_images
from gaiaflux.tess.stamp.instrument import InstrumentFiles
from gaiaflux.tess.stamp.measurement import measure_methods
from gaiaflux.tess.stamp.placed_stars import PlacedStars
from gaiaflux.tess.stamp.products import write_curve
from gaiaflux.tess.stamp.scene import stars_of_stamp
from gaiaflux.tess.stamp.stamp_view import StampView
from gaiaflux.tess.stamp.target_group import read_kept

ECLIPSE = StampStar(12, 43.2, 20.6, 11.0, "eclipses", 0.3, 0.3, 0.05, 0.1)
STARS = (
    *pair(StampStar(1, 18.3, 21.4, 10.5), 2, 2.0, 1.0, 0.7),
    *pair(StampStar(3, 21.2, 46.1, 11.0), 4, 3.0, 2.0, 2.0),
    *pair(ECLIPSE, 11, 1.5, 0.0, 4.0),
    StampStar(21, 46.7, 45.2, 9.5),
)


def prepared(folder, images, ccd, catalog, instrument):
    """Prepare images by the steps of the rules."""
    candidates = [(path.stem, str(path)) for path in images]
    reference = image_reference(candidates[:4], ccd, catalog)
    members = [{"frame_id": name, "path": path, "overrides": {}} for name, path in candidates]
    prepare_batch(members, reference, instrument.response(*ccd), folder / "frames.h5", "")
    joined = join_frames([read_frame_batch(folder / "frames.h5")], reference)
    prepare_images(folder / "prepared.h5", folder / "images.csv", joined, reference, [])
    return folder / "prepared.h5"


def linear_fits(path, catalog, instrument, stars, methods=("linpsf",)):
    """What the first method measures of stars, by number, with the frames that are good."""
    opened = open_images(path, catalog, instrument)
    with closing(opened.source) as source:
        ra, dec = catalog.ra_deg, catalog.dec_deg
        places = np.stack(source.place(ra, dec))
        good = (source.quality == 0) & (source.frame_flags == 0)
        views = {
            star: StampView(source, stars_near(source, catalog, places, star), star, opened.samples) for star in stars
        }
        return {star: measure_methods(view, methods)[methods[0]] for star, view in views.items()}, good


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Prepared images of 60 frames of a crowded place, with a catalogue that is wrong by 0.05 mag; and the truth."""
    folder = tmp_path_factory.mktemp("field")
    setup = CcdSetup(shape=(64, 64), n_times=60, stars=STARS, density=0.03, seed=5)
    write_ccd_field(folder, setup)
    catalog = read_tess_catalog(folder / "catalog.csv")
    off = np.random.default_rng(3).normal(0.0, 0.05, len(catalog))
    catalog = catalog.with_columns({"mag": catalog.mag + off, "mag_err": np.full(len(catalog), 0.05)})
    instrument = InstrumentFiles(folder / "prf", None)
    ccd = (setup.sector, setup.camera, setup.ccd)
    path = prepared(folder, sorted((folder / "ffi").glob("*.fits")), ccd, catalog, instrument)
    return path, catalog, instrument, np.load(folder / "truth.npz")


@pytest.fixture(scope="module")
def scene(field):
    path, catalog, instrument, _ = field
    opened = open_images(path, catalog, instrument)
    with closing(opened.source) as source:
        return solve_scene(source, catalog, opened.samples)


def true_light(truth, star):
    row = int(np.flatnonzero(truth["star_id"] == star)[0])
    relative = truth["relative"][:, row] if row < truth["relative"].shape[1] else np.ones(len(truth["btjd"]))
    return truth["star_flux"][row] * relative


def test_light_of_all_stars(field, scene):
    """The catalogue is wrong by 5 %: what the mean image shows of bright stars is not, though its frames move.

    Light of a star that the catalogue has not, within a pixel, cannot be told from a star's own.
    """
    truth = field[3]
    rows = np.array([np.flatnonzero(truth["star_id"] == star)[0] for star in scene.star_id])
    x, y, mag = truth["star_x"][rows], truth["star_y"][rows], truth["star_tmag"][rows]
    light = np.array([true_light(truth, star).mean() for star in scene.star_id])
    inside = (x > 3) & (x < 60) & (y > 3) & (y < 60) & np.isfinite(scene.flux)
    off, pull = scene.flux / light - 1, (scene.flux - light) / scene.flux_err
    assert np.median(np.abs(off[inside & (mag < 11.5)])) < 0.003
    assert np.abs(off[inside & (mag < 11.5)]).max() < 0.01
    assert np.median(np.abs(off[inside & (mag > 12) & (mag < 14)])) < 0.02
    unlisted = np.flatnonzero(~truth["star_listed"])
    apart = np.hypot(x[:, None] - truth["star_x"][unlisted], y[:, None] - truth["star_y"][unlisted]).min(axis=1)
    faint = inside & (mag > 12) & (apart > 1.0)
    assert faint.sum() > 40
    assert 0.4 < np.sqrt(np.mean(np.clip(pull[faint], -5, 5) ** 2)) < 1.4
    assert (np.diff(scene.star_id) > 0).all()
    bright = inside & (mag < 13)
    away = np.stack([scene.x - x, scene.y - y])[:, bright]
    away -= np.median(away, axis=1, keepdims=True)
    assert np.median(np.hypot(*away)) < 0.02
    assert (scene.position_err[bright] <= 0.021).all()


def test_stamps_take_the_scene(field, scene):
    """Mean light is nearer to the truth with it, and the companion of an eclipsing star does not eclipse."""
    path, catalog, instrument, truth = field
    known = (1, 2, 3, 11)
    before, good = linear_fits(path, catalog, instrument, known)
    write_scene(path.parent / SCENE, scene)
    try:
        made, _ = linear_fits(path, catalog, instrument, known)
    finally:
        (path.parent / SCENE).unlink()
    off = [
        [abs(one[star].flux[good].mean() / true_light(truth, star)[0] - 1) for star in known] for one in (before, made)
    ]
    assert np.mean(off[1]) < np.mean(off[0])
    assert max(off[1]) < 0.006
    eclipse = true_light(truth, 12)[good]
    left = made[11].flux[good]
    assert abs(np.polyfit(eclipse, left, 1)[0]) < 0.02


def test_neighbours_light_curves_come_with_a_target(field, tmp_path):
    """The eclipsing companion of a constant star, in the batch and in the file of the star's light curve."""
    path, catalog, instrument, truth = field
    opened = open_images(path, catalog, instrument)
    with closing(opened.source) as source:
        limits = source.limits
    with BatchWriter(tmp_path / "batch.h5", kind="targets") as out:
        wanted = {"stars": [11]}
        measure_stars(wanted, [path], TargetFiles(catalog, instrument), ("linpsf", "aperture"), out)
    with BatchReader(tmp_path / "batch.h5") as batch:
        (name,) = batch.frame_ids
        kept = read_kept(batch, name)
        ids, flux = batch.array(name, "neighbour_ids"), batch.array(name, "linpsf_neighbour_flux")
        error = batch.array(name, "linpsf_neighbour_flux_err")
        good = batch.array(name, "quality") == 0
    assert flux.dtype == error.dtype == np.float32
    assert ids.dtype == np.int64
    assert flux.shape == error.shape == (len(ids), len(good))
    companion = flux[list(ids).index(12)]
    light = true_light(truth, 12)[np.isin(truth["cadenceno"], kept.columns["linpsf"]["cadenceno"])]
    slope, _ = np.polyfit(light[good], companion[good], 1)
    assert slope == pytest.approx(1.0, abs=0.03)
    pull = (companion - slope * light)[good] / error[list(ids).index(12)][good]
    assert 0.6 < 1.48 * np.median(np.abs(pull - np.median(pull))) < 1.6
    files = {
        method: write_curve(kept.facts, kept.columns[method], kept.notes[method], tmp_path, method)
        for method in kept.columns
    }
    with fits.open(files["linpsf"]) as hdus:
        table = hdus["NEIGHBOURS"].data
        np.testing.assert_array_equal(table["STARID"], ids)
        np.testing.assert_array_equal(table["FLUX_RAW"], flux)
        assert hdus[0].header["NEXTEND"] == len(hdus) - 1
        row = list(ids).index(12)
        first_row, _, first_column, _ = limits
        for name, axis, first in (("COLUMN", "star_x", first_column), ("ROW", "star_y", first_row)):
            true = truth[axis][truth["star_id"] == 12][0] + first + 1
            assert table[name][row] == pytest.approx(true, abs=0.5)
        assert table["TMAG"][row] == pytest.approx(11.0, abs=0.2)
    with fits.open(files["aperture"]) as hdus:
        assert "NEIGHBOURS" not in hdus


def test_stars_that_the_scene_lacks_move_with_the_others(field, scene):
    path, catalog, instrument, _ = field
    opened = open_images(path, catalog, instrument)
    with closing(opened.source) as source:
        part = (source.limits[0] + 10, source.limits[0] + 30, source.limits[2] + 8, source.limits[2] + 28)
        placed = PlacedStars.of(catalog, source, float(source.field.head["jyear"]))
        plain, rows, solved = stars_of_stamp(placed, 1, source, part)
        assert not solved
        few = np.flatnonzero(scene.star_id != 2)
        columns = ("star_id", "x", "y", "position_err", "flux", "flux_err", "chi2")
        lacking = type(scene)(*(getattr(scene, name)[few] for name in columns), scene.common, scene.sky)
        with_scene = type(source)(source.field, scene=lacking)
        made, same, solved = stars_of_stamp(placed, 1, with_scene, part)
        assert solved
        np.testing.assert_array_equal(rows, same)
        second = int(np.flatnonzero(catalog.star_id[rows] == 2)[0])
        first = lacking.rows_of(np.array([1]))[0]
        assert made.flux[0] == lacking.flux[first]
        assert made.x[0] == lacking.x[first] - part[2]
        assert made.flux[second] == plain.flux[second]
        moved = np.median(made.x - plain.x)
        assert made.x[second] - plain.x[second] == pytest.approx(moved, abs=0.02)
        none = type(source)(source.field, scene=type(scene).none())
        assert not stars_of_stamp(placed, 1, none, part)[2]


@pytest.mark.real
def test_real_crop_without_a_catalogue(tmp_path, real_data):
    """Every star to T 13 has a flux; an isolated one has that of the mission.

    TIC 439366537 is T 8.84 by the mission and has a neighbour; two stars and three fit the pixels alike well with 8.74
    to 8.78, whatever the weights and the place of the response function in the field.
    """
    data = real_data.parent / "tess"
    image = next((data / "ffi_s01_c1_4").glob("*.fits"))
    listed = read_tess_catalog(data / "ffi_s01_c1_4" / "all_targets_S001_v1.csv")
    instrument, ccd = InstrumentFiles(data / "prf", None), (1, 1, 4)
    catalog = find_catalog([ImageGroup(ccd, [(image.stem, str(image))])], instrument, listed)
    path = prepared(tmp_path, [image], ccd, catalog, instrument)
    opened = open_images(path, catalog, instrument)
    with closing(opened.source) as source:
        write_scene(tmp_path / SCENE, solve_scene(source, catalog, opened.samples))
        row, column = source.place(catalog.ra_deg, catalog.dec_deg)
        first, last, left, right = source.limits
    inside = (row > first - 0.5) & (row < last - 0.5) & (column > left - 0.5) & (column < right - 0.5)
    stars = catalog.star_id[inside & (catalog.mag < 13)].tolist()
    assert 65 <= len(stars) <= 80
    made, _ = linear_fits(path, catalog, instrument, stars)
    assert all(np.isfinite(one.flux).all() for one in made.values())
    mag = {star: 20.45 - 2.5 * np.log10(made[star].flux[0]) for star in (439387373, 439366537)}
    assert mag[439387373] == pytest.approx(9.14, abs=0.03)
    assert mag[439366537] == pytest.approx(8.84, abs=0.07)
