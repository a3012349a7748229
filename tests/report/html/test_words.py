import json

from gaiaflux.io.dataset import DatasetReader
from gaiaflux.report.html.words import headline_facts
from gaiaflux.report.series import read_series


def terms_said(truth, path, rows):
    truth.group["series_terms"] = json.dumps(rows)
    truth.write(path)
    with DatasetReader(path) as source:
        return dict(headline_facts(read_series(source)))["terms of all frames"]


def test_terms_of_all_frames_are_said_with_their_meaning(make_truth, tmp_path):
    kept = {"value_mag": -0.01836, "error_mag": 0.00123, "note": "kept: held-out scatter -3.00 %", "unit": "mag/mag"}
    red = {**kept, "term": "colour * airmass", "description": "extinction"}
    maps = [{**kept, "term": f"u^{k}", "unit": "mag", "description": "map"} for k in (3, 2)]
    left = {
        "term": "colour",
        "value_mag": 0.0,
        "error_mag": None,
        "note": "left out: no",
        "unit": "",
        "description": "",
    }
    truth = make_truth()
    assert terms_said(truth, tmp_path / "a.h5", [red, *maps, left]) == (
        "colour * airmass -0.0184 ± 0.0012 mag/mag (extinction); "
        "u^3 -0.0184 ± 0.0012 mag, u^2 -0.0184 ± 0.0012 mag (map)"
    )
    assert terms_said(truth, tmp_path / "b.h5", [left]) == "none"
    # Of a dataset that does not say the meaning.
    older = {name: red[name] for name in ("term", "value_mag", "error_mag", "note")}
    assert terms_said(truth, tmp_path / "c.h5", [older]) == "colour * airmass -0.0184 ± 0.0012 mag"
