"""The picture of planted stars: each method in its colours, whatever else there is."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from gaiaflux.model.methods import METHODS
from gaiaflux.report.figures import injection


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args, **options: kept.append(figure))

    def draw(methods):
        rows = [(method, known, mag) for method in methods for known in (True, False) for mag in (15.0, 16.0)]
        method, known, mag = zip(*rows, strict=True)
        bins = {"method": np.array(method, object), "known": np.array(known), "mag_low": np.array(mag)}
        bins["mag_high"] = bins["mag_low"] + 1
        for name in ("completeness", "bias_mag", "bias_err_mag", "pull_scatter_in_star", "pull_scatter"):
            bins[name] = np.full(len(rows), 0.5)
        injection.draw_injection(tmp_path / "i.png", {name: (array, "", "") for name, array in bins.items()}, "title")
        return kept[-1].axes[0]

    return draw


def test_methods_have_the_colours_that_the_report_gives_them(drawn):
    axes = drawn(["psf", "aperture"])
    found = {line.get_label(): (line[0].get_color(), line[0].get_marker()) for line in axes.containers}
    looks = {method.label: method.look for method in METHODS}
    assert found == {
        f"{label}, star {kind}": (colour, look.marker)
        for label, look in looks.items()
        for kind, colour in (("known", look.colour), ("found", look.companion))
    }
    # Beside each other, about the middle of the bin.
    middle = np.sort([line[0].get_xdata()[0] for line in axes.containers])
    np.testing.assert_allclose(middle, 15.5 + 0.05 * np.array([-1.5, -0.5, 0.5, 1.5]))
    alone = [line[0].get_xdata()[0] for line in drawn(["psf"]).containers]
    np.testing.assert_allclose(alone, [15.475, 15.525])
