"""A plate solution by the stars of another catalogue: declaring its columns is all that it takes."""

from dataclasses import asdict

import numpy as np
import pytest
from astropy.table import Table

from gaiaflux.core.sky.projection import sky_to_pixel
from gaiaflux.ground.frame.extraction import extract_stars
from gaiaflux.ground.frame.plate_solution import solve_frame
from gaiaflux.io.catalog_source import SOURCES, CatalogSource
from gaiaflux.io.gaia.catalog import read_catalog, write_catalog
from gaiaflux.io.gaia.table import load_gaia_table, read_gaia_table
from gaiaflux.io.image.frames import FrameSettings, read_frame
from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.extract_stars import ExtractStarsSettings
from gaiaflux.model.settings.refine_wcs import RefineWcsSettings
from gaiaflux.workflow.settings import complete_section

# ATLAS-REFCAT2 (Tonry et al. 2018) has Pan-STARRS magnitudes, and motions of Gaia DR2.
REFCAT2 = CatalogSource(
    name="refcat2",
    system="Pan-STARRS r",
    columns={
        **{"source_id": "starid", "ra": "ra", "dec": "decl", "pmra": "pm_ra", "pmdec": "pm_dec"},
        **{"mag": "r_mag", "blue": "g_mag", "red": "i_mag"},
    },
    epoch=2015.5,
)


def test_sources_have_names_of_their_own():
    assert len({source.name for source in SOURCES}) == len(SOURCES) >= 2
    assert all(source.system for source in SOURCES)


def test_columns_go_by_what_the_source_calls_them(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text(
        "StarID,ra,decl,r_mag,g_mag,i_mag,gmag,phot_g_mean_mag\n7,10,5,15.5,16.0,15.25,1,2\n8,11,5,14,,,1,2\n"
    )
    table = load_gaia_table(path, REFCAT2)
    catalog = table.catalog
    assert (catalog.source, catalog.system, table.n_without_motion) == ("refcat2", "Pan-STARRS r", 2)
    np.testing.assert_array_equal(catalog.source_id, [7, 8])
    np.testing.assert_array_equal(catalog.mag, [15.5, 14.0])
    np.testing.assert_array_equal(catalog.colour, [0.75, np.nan])
    np.testing.assert_array_equal(catalog.ref_epoch, 2015.5)
    write_catalog(tmp_path / "pinned.fits", catalog)
    pinned = read_catalog(tmp_path / "pinned.fits")
    assert (pinned.source, pinned.system) == ("refcat2", "Pan-STARRS r")
    path.write_text("starid,ra,decl,g_mag\n7,10,5,16.0\n")
    with pytest.raises(InputError, match=r"no column r_mag .*required are starid, ra, decl, r_mag"):
        load_gaia_table(path, REFCAT2)


@pytest.mark.real
def test_an_image_is_solved_by_the_stars_of_another_catalogue(real_data):
    folder = real_data / "sn2019so_andicam"
    catalog = read_gaia_table(folder / "photometry_04735_V.ecsv", REFCAT2)
    assert np.isfinite(catalog.mag).sum() > 50
    frame = read_frame(folder / "SN2019so_20190201_V.fits.gz", "V", FrameSettings(), {})
    _, arrays = extract_stars(frame, None, complete_section(ExtractStarsSettings))
    facts = asdict(frame.info)
    facts["ny"], facts["nx"] = facts.pop("shape")
    fit = solve_frame(facts, arrays["stars"], catalog, complete_section(RefineWcsSettings))
    assert fit.n_stars > 50
    assert fit.rms_mas < 30.0
    # The places where another pipeline's PSF fit found the same stars.
    theirs = Table.read(folder / "photometry_04735_V.ecsv")
    theirs = theirs[np.isin(theirs["starid"], catalog.source_id)]
    rows = np.searchsorted(catalog.source_id, theirs["starid"])
    x, y = sky_to_pixel(fit.wcs, catalog.ra_deg[rows], catalog.dec_deg[rows])
    distance = np.hypot(x - theirs["pixel_column_psf_fit"], y - theirs["pixel_row_psf_fit"])
    assert np.nanmedian(distance) < 0.2
