import numpy as np
from astropy.io import fits

from gaiaflux.io.tess.neighbour_table import Neighbours, neighbour_table


def test_table_of_neighbours(tmp_path):
    flux = np.arange(14, dtype=np.float32).reshape(2, 7)
    flux[1, 3] = np.nan
    numbers = np.array([9_007_199_254_740_993, 12])
    places = np.array([3.25, 4.5]), np.array([100.5, 99.0])
    made = neighbour_table(Neighbours(numbers, np.array([11.5, np.nan]), *places, flux, flux / 10))
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(tmp_path / "n.fits")
    with fits.open(tmp_path / "n.fits") as hdus:
        table = hdus["NEIGHBOURS"].data
        np.testing.assert_array_equal(table["STARID"], numbers)
        np.testing.assert_array_equal(table["FLUX_RAW"], flux)
        np.testing.assert_array_equal(table["FLUX_RAW_ERR"], flux / 10)
        np.testing.assert_array_equal(table["ROW"], places[0])
        np.testing.assert_array_equal(table["COLUMN"], places[1])
        np.testing.assert_array_equal(table["TMAG"], [11.5, np.nan])
        assert hdus["NEIGHBOURS"].columns["FLUX_RAW"].unit == "e-/s"
