"""Wrong input that is refused before any job starts: exit code 1, plain sentences, nothing written."""

import pytest

CASES = {
    "misspelt key": ("series: {a: {imags: 'images/*'}}", "series.a.imags: unknown key; did you mean 'images'?"),
    "later capability": (
        "photometry: {dia: {}}\nseries: {a: {images: 'images/*'}}",
        "photometry.dia: unknown key",
    ),
    "pictures of a method that is not chosen": (
        "series: {a: {images: 'images/*'}}\nphotometry: {psf: {residual_pictures: true}}",
        "photometry.psf.residual_pictures: goes only together with psf among photometry.methods",
    ),
    "empty glob": ("series: {a: {images: 'pictures/*.fits'}}", "series.a.images: no image matches 'pictures/*.fits'"),
    "duplicate": (
        "series: {a: {images: ['images/*', 'more/*']}}",
        "series.a: 'images/x.fits' and 'more/x.fits.gz' both have the frame_id 'x'; name the images in a sheet "
        "(series.a.frames) or narrow the pattern",
    ),
    "unknown reference": (
        "series: {a: {images: 'images/*', reference_image: x1}}",
        "series.a.reference_image: there is no frame 'x1'; did you mean 'x'?",
    ),
    "brace": ("series: {a: {images: 'odd/*'}}", "series.a: 'odd/{x}.fits' has a brace in its name"),
    "no sheet": ("series: {a: {frames: none.csv}}", "series.a.frames: the sheet 'none.csv' cannot be read"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_before_any_job(workspace, case):
    config, sentence = CASES[case]
    workspace.images("x.fits", "y.fits")
    workspace.images("x.fits.gz", folder="more")
    workspace.images("{x}.fits", folder="odd")
    workspace.config.write_text(config)
    refused = workspace.snakemake("--cores", "1")
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (workspace.work / "results").exists()


def test_all_problems_are_told_at_once(workspace):
    workspace.config.write_text("series: {a: {imags: x}}\nframes_per_batch: 0\ntrack_code: maybe\n")
    refused = workspace.snakemake("--cores", "1")
    for start in ("series.a.imags:", "series.a:", "frames_per_batch:", "track_code:"):
        assert any(line.startswith(start) for line in refused.stderr.splitlines()), start
