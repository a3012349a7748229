import numpy as np
import pytest

from gaiaflux.model.tess_catalog import TessCatalog


@pytest.fixture
def catalog():
    ids = np.array([10, 11, 12, 13, 14])
    columns = {name: np.zeros(5) for name in TessCatalog.column_names()}
    columns |= {"star_id": ids, "source_id": np.array([7, -1, 7, -1, 8])}
    columns |= {"mag": np.array([12.0, np.nan, 11.0, 9.0, np.nan]), "mag_source": np.array(["catalogue"] * 5)}
    return TessCatalog(
        **columns, system="TESS", source="tic", left_out={"disposition split": np.array([99])}, remarks=("odd",)
    )


def test_numbers_of_one_gaia_source_are_one_star(catalog):
    np.testing.assert_array_equal(catalog.one_per_source(), [False, True, True, True, True])


def test_the_target_stands_for_its_source_even_where_it_is_fainter(catalog):
    np.testing.assert_array_equal(catalog.one_per_source(10), [True, True, False, True, True])


def test_rows_are_picked_and_what_is_said_of_the_file_stays(catalog):
    part = catalog[catalog.mag < 11.5]
    np.testing.assert_array_equal(part.star_id, [12, 13])
    assert part.remarks == ("odd",)
    assert part.why_missing(99) == "disposition split"
    assert part.why_missing(98) == ""
    assert "left_out" not in part.columns()
    assert part.system == "TESS"
