"""The methods of photometry: the one list of what each measures, says, needs and is called.

Another method is another entry of `METHODS` or of `TESS_METHODS`. The rules read the list while the workflow is parsed,
so that it imports the standard library alone. What measures the frames must not import it: an entry more would change
the digest of that code, and every series would be measured again.
"""

from collections.abc import Collection

from gaiaflux.model.columns import Column
from gaiaflux.model.errors import InputError
from gaiaflux.model.method import COMMON_FACTS, SKY_SHARE, Annotation, Look, Method, OnRequest, Reported, check_together
from gaiaflux.model.nearest import nearest
from gaiaflux.model.status import PsfOrigin

__all__ = ["APERTURE", "METHODS", "METHODS_OF", "PSF", "TESS_METHODS", "method_named", "methods_named"]

APERTURE = Method(
    name="aperture",
    label="aperture",
    title="Aperture photometry",
    by="apertures",
    sentence="Sums the light in circles around each star and corrects it for the light outside; of several radii each "
    "star gets the one that scatters least.",
    look=Look(colour="#E69F00", companion="#D55E00", marker="o"),
    annotation=Annotation(
        "GAIAFLUX_APERTURE", "", ("flux", "flux_err", "flags"), radii=("APRAD", "[pixel] radius of the aperture")
    ),
    blend=("neighbour", "neighbour in the aperture"),
    radii=Column("f8", "pixel", "radii of the apertures in each frame; NaN where not measured"),
    star_facts={
        SKY_SHARE: Column(
            "f2", "", "part of flux_err^2 by structure of the sky beneath the star, by the middle one of the radii"
        ),
    },
    frame_facts={
        **COMMON_FACTS,
        "n_correction_stars": Column("i4", "", "stars of the frame's aperture correction; -1 where not measured"),
        "profile_fwhm_pix": Column("f8", "pixel", "full width at half maximum of the profile of the correction"),
        "sky_structure": Column("f8", "", "scatter of apertures at empty places over their stated noise"),
    },
    intermediate={
        "sky": Column("f4", "count/pixel", "level of the sky under the star; of the frame, its median"),
        "sky_err": Column("f4", "count/pixel", "one-sigma error of the star's sky"),
        "fraction": Column("f4", "", "part of the star's light inside the aperture"),
        "fraction_err": Column("f2", "", "one-sigma error of fraction"),
        "filled": Column("f2", "", "part of the light inside the aperture that was filled in"),
        "contamination": Column("f2", "", "neighbours' light inside the aperture over the star's"),
        "correction_measured": Column("u1", "", "whether the aperture correction is measured, and no model"),
        "reference_radius_pix": Column("f8", "pixel", "radius to which the aperture correction is measured"),
        "outside_fraction": Column("f8", "", "part of the light beyond that radius"),
        "profile_beta": Column("f8", "", "exponent of the profile of the correction"),
        "sky_scatter": Column("f8", "count/pixel", "real structure of the sky between stars"),
        "pixel_noise": Column("f8", "count/pixel", "noise of one pixel of sky"),
        "noise": Column("text", "", "where the variances of the pixels come from"),
        "annulus_inner_pix": Column("f8", "pixel", "inner radius of the sky annulus"),
        "annulus_outer_pix": Column("f8", "pixel", "outer radius of the sky annulus"),
    },
)

PSF = Method(
    name="psf",
    label="PSF",
    title="PSF photometry",
    by="the PSF",
    sentence="Measures the point-spread function in the frame itself and fits it to all stars together.",
    look=Look(colour="#0072B2", companion="#56B4E9", marker="s"),
    annotation=Annotation(
        "GAIAFLUX_PSF",
        "psf_",
        ("flux", "flux_err", "flags", "chi2"),
        {
            "PSFSTAT": ("psf_status", "where the PSF is from"),
            "PSFNSTAR": ("psf_n_stars", "stars that the PSF was measured with"),
            "PSFFWHM": ("psf_fwhm_pix", "[pixel] full width at half maximum of the PSF"),
        },
    ),
    blend=("blended", "too close to a neighbour"),
    star_facts={
        "chi2": Column("f2", "", "chi-squared per pixel of the fit of the PSF; NaN where not measured"),
        "psf_fraction": Column("f2", "", "part of the PSF's light that falls on good pixels; NaN where not measured"),
        "crowding": Column("f2", "", "neighbours' light in the star's PSF over its own; NaN where not measured"),
        SKY_SHARE: Column("f2", "", "part of flux_err^2 by structure of the sky beneath the star"),
    },
    frame_facts={
        **COMMON_FACTS,
        "psf_status": Column(
            "text",
            "",
            "where the PSF is from: ok (the frame's own stars), lower order (fewer stars than asked for), borrowed "
            "(the reference image's, scaled); empty where not measured",
        ),
        "psf_n_stars": Column("i4", "", "stars that the PSF was measured with; -1 where the frame was not measured"),
        "psf_order": Column("i4", "", "order of the PSF's change over the field; -1 where not measured"),
        "psf_residual_order": Column("i4", "", "the same of its empirical residual; -1 where there is none"),
        "sky_structure": Column("f8", "", "scatter of fluxes at empty places over their stated noise"),
        "psf_residual_rms": Column("f8", "", "rms of what the PSF leaves of its stars, relative to their light"),
        "psf_residual_peak": Column("f8", "", "largest value of the empirical residual over the core's central one"),
        "psf_fwhm_pix": Column("f8", "pixel", "full width at half maximum of the PSF in the middle of the frame"),
        "psf_ellipticity": Column("f8", "", "1 - minor / major axis of the PSF in the middle of the frame"),
        "psf_beta": Column("f8", "", "exponent of the PSF's Moffat core"),
        "psf_wing_light": Column("f8", "", "part of a star's light in the wing beyond core and fitted circle"),
        "shift_x_pix": Column("f8", "pixel", "columns by which the stars lie off the plate solution"),
        "shift_y_pix": Column("f8", "pixel", "rows by which the stars lie off the plate solution"),
        "centroid_rms_pix": Column("f8", "pixel", "rms of the stars' own centroids about the places measured at"),
        "sky": Column("f8", "count/pixel", "level of the sky under the stars, in the frame's unit"),
        "pixel_noise": Column("f8", "count/pixel", "noise of one pixel of sky, in the frame's unit"),
        "noise": Column("text", "", "where the variances of the pixels come from"),
    },
    intermediate={
        "sky": Column("f4", "count/pixel", "level of the sky under the star"),
        "beyond": Column("f8", "", "x, y and flux of stars just beyond the edge of the image, that are fitted too"),
    },
    in_light_curves=("chi2", "crowding"),
    reported={
        "psf_status": Reported(
            "PSF",
            {
                PsfOrigin.OWN: "with a PSF of their own",
                PsfOrigin.LOWER_ORDER: "with a PSF of a lower order than asked for",
                PsfOrigin.BORROWED: "with the reference image's, scaled",
            },
        ),
        "psf_n_stars": Reported("stars of a PSF"),
        "psf_order": Reported("its order over the field"),
        "psf_fwhm_pix": Reported("FWHM", axis="PSF, FWHM (pixel)"),
        "psf_ellipticity": Reported("ellipticity", axis="PSF, ellipticity"),
        "psf_residual_rms": Reported("rms of what it leaves of its stars, relative"),
        "centroid_rms_pix": Reported(
            "rms of the centroids about the places", axis="rms of the centroids in the PSF fit (pixel)"
        ),
    },
    on_request=OnRequest("subtract_stars", "residuals", ("residual_pictures", "subtracted_images")),
    favoured_within=1.02,
    holds_psf=True,
)

METHODS = (APERTURE, PSF)
"""All methods for images from the ground, in the order in which files and pages name them."""
check_together(METHODS)

_OF_STAMPS = {
    "background": Column("f4", "electron/s/pixel", "background that was fitted on top of the mission's own"),
    "chi2": Column("f4", "", "chi-squared per degree of freedom of the fit of the stamp"),
    "n_clipped": Column("f4", "", "pixels that stand out in time and were left out"),
    "contamination": Column("f4", "", "part of the light that is not the star's, in its pixels or its function"),
    "centroid_column": Column("f8", "pixel", "column of the star on the CCD, 1-based, with the leading virtual ones"),
    "centroid_row": Column("f8", "pixel", "row of the star on the CCD, 1-based"),
}
TESS_PSF = Method(
    name="psf",
    label="PSF",
    title="PSF photometry",
    by="the PSF",
    sentence="Fits light and places of the stars of a stamp in each cadence by the mission's response function.",
    look=Look(colour="#0072B2", companion="#56B4E9", marker="s"),
    blend=("blended", "too close to a neighbour"),
    star_facts=_OF_STAMPS,
    in_light_curves=("chi2", "contamination"),
    rule="tess_photometry",
)
TESS_LINPSF = Method(
    name="linpsf",
    label="linear PSF",
    title="Linear PSF photometry",
    by="the linear PSF",
    sentence="Fits the light of the stars of a stamp in each cadence at places that move with the spacecraft.",
    look=Look(colour="#009E73", companion="#66C2A5", marker="^"),
    blend=("blended", "too close to a neighbour"),
    star_facts=_OF_STAMPS,
    in_light_curves=("chi2", "contamination"),
    rule="tess_photometry",
)
TESS_APERTURE = Method(
    name="aperture",
    label="aperture",
    title="Aperture photometry",
    by="apertures",
    sentence="Sums the pixels of a mask in each cadence.",
    look=Look(colour="#E69F00", companion="#D55E00", marker="o"),
    blend=("neighbour", "neighbour in the aperture"),
    star_facts=_OF_STAMPS,
    in_light_curves=("contamination",),
    rule="tess_photometry",
)
TESS_METHODS = (TESS_PSF, TESS_LINPSF, TESS_APERTURE)
"""All methods for stamps of TESS, which one rule measures together."""

METHODS_OF = {"ground": METHODS, "tess": TESS_METHODS}
"""Methods by the family of a dataset (its attribute ``family``)."""


def method_named(name: str, methods: Collection[Method] = METHODS) -> Method:
    """The entry of a method.

    Parameters
    ----------
    name : str
        Of the method.
    methods : collection of Method
        Where to look.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        There is none of this name.
    """
    found = {method.name: method for method in methods}
    if name not in found:
        raise InputError(f"there is no method of photometry '{name}'; {nearest(name, found, 'methods')}")
    return found[name]


def methods_named(names: Collection[str], methods: Collection[Method] = METHODS) -> list[Method]:
    """The entries of some methods.

    Parameters
    ----------
    names : collection of str
        Of methods.
    methods : collection of Method
        Where to look.

    Returns
    -------
    list of Method
        In the order of `methods`, whatever that of the names.

    Raises
    ------
    InputError
        There is none of one of the names.
    """
    known = {method_named(name, methods).name for name in names}
    return [method for method in methods if method.name in known]
