import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.model.settings.aperture import ApertureSettings
from gaiaflux.model.settings.calibrate import CalibrateSettings
from gaiaflux.workflow.settings import complete_section, complete_settings


def test_a_section_has_the_defaults_of_the_schema():
    found = complete_section(CalibrateSettings, max_iterations=7)
    assert vars(found) == {**complete_settings({})["calibrate"], "max_iterations": 7}


def test_a_section_that_lies_deeper_is_checked_like_any():
    found = complete_section(ApertureSettings, radii_arcsec=[1, 2])
    assert (found.radii_arcsec, found.radii_fwhm) == ((1.0, 2.0), None)
    with pytest.raises(InputError, match=r"photometry\.aperture\.min_correction_star: unknown key"):
        complete_section(ApertureSettings, min_correction_star=3)
