"""Methods of photometry and the rules: a declared one is planned, half of one is refused, parsing costs nothing."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from gaiaflux.model.methods import METHODS
from gaiaflux.workflow.config import check, load_schema
from gaiaflux.workflow.results import PRODUCTS, upstream_rules
from gaiaflux.workflow.settings import _SCHEMA

CONFIG = "series: {field: {images: 'images/*.fits', gaia_file: gaia.csv}}\n"
ENTRY = """
TOY = Method(
    name="toy",
    label="toy",
    title="Toy photometry",
    by="guesses",
    sentence="Guesses.",
    look=Look(colour="#009E73", companion="#CC79A7", marker="^"),
    annotation=Annotation("GAIAFLUX_TOY", "toy_", ("flux", "flux_err", "flags")),
    blend=("neighbour", "neighbour"),
)
"""
BLOCK = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "astropy", "h5py", "numba", "pandas", "scipy", "matplotlib"}:
            raise ImportError(f"{name} must not be imported")


sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture
def field(workspace):
    workspace.images("a.fits", "b.fits")
    workspace.images("gaia.csv", folder=".")
    workspace.config.write_text(CONFIG + "photometry: {methods: [aperture, toy]}\n")
    return workspace


def declare(workspace, entry=ENTRY):
    path = workspace.repo / "scripts/gaiaflux/model/methods.py"
    text = path.read_text().replace("METHODS = (APERTURE, PSF)", f"{entry.strip()}\n\nMETHODS = (APERTURE, PSF, TOY)")
    assert "TOY)" in text
    path.write_text(text)


def allow(workspace):
    path = workspace.repo / "schemas/config.schema.yaml"
    schema = yaml.safe_load(path.read_text())
    photometry = schema["properties"]["photometry"]["properties"]
    photometry["methods"]["items"]["enum"].append("toy")
    photometry["toy"] = {"description": "Toy.", "type": "object", "additionalProperties": False, "default": {}}
    photometry["toy"]["properties"] = {"guess": {"description": "A guess.", "type": "number", "default": 1.0}}
    path.write_text(yaml.safe_dump(schema, sort_keys=False))


def write_rule(workspace):
    for path in ("rules/photometry.smk", "scripts/aperture_photometry.py"):
        text = (workspace.repo / path).read_text()
        if path.endswith(".smk"):
            own = re.search(r"^rule aperture_photometry:\n(.*?)\n\n\n", text, re.MULTILINE | re.DOTALL)[0]
            (workspace.repo / path).write_text(text.rstrip("\n") + "\n\n\n" + own.replace("aperture", "toy").rstrip())
        else:
            (workspace.repo / "scripts/toy_photometry.py").write_text(text.replace("output.aperture", "output.toy"))


def test_a_method_that_is_declared_is_planned(field):
    declare(field)
    allow(field)
    write_rule(field)
    jobs = field.jobs()
    assert jobs["toy_photometry"] == jobs["aperture_photometry"] == jobs["assemble_dataset"] == 1
    assert "psf_photometry" not in jobs
    detail = field.snakemake("--dry-run", "results/field/measured.h5").stdout
    reason = re.search(r"put the measurements together\nReason: (.+)\n", detail)[1]
    assert "results/field/toy/0001.h5" in reason


HALVES = {
    "nothing": ([], "photometry.methods, entry 2: 'toy' is not one of: aperture, psf"),
    "schema alone": ([allow], "toy: the schema's photometry.methods has it, but model/methods.py does not declare it"),
    "entry alone": ([declare], "toy: declared in model/methods.py, but not in the schema's photometry.methods"),
    "without a rule": ([declare, allow], "toy: there is no rule toy_photometry"),
    "half an entry": (
        [lambda workspace: declare(workspace, ENTRY.replace('label="toy"', 'label=""')), allow, write_rule],
        "the method of photometry 'toy' is only half declared: it has no label",
    ),
}


@pytest.mark.parametrize("case", HALVES)
def test_half_a_method_is_refused_in_one_sentence(field, case):
    steps, sentence = HALVES[case]
    for step in steps:
        step(field)
    refused = field.snakemake("--cores", "1")
    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


def test_parsing_works_where_numpy_does_not(workspace):
    folder = workspace.folder / "block"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCK)
    environment = {"PYTHONPATH": str(folder)}
    workspace.config.write_text((workspace.repo / "config.yaml").read_text())
    refused = subprocess.run(
        [sys.executable, "-c", "import numpy"], env={**os.environ, **environment}, capture_output=True, check=False
    )
    assert b"numpy must not be imported" in refused.stderr
    planned = workspace.snakemake("--dry-run", "--quiet", "rules", environment=environment)
    assert planned.returncode == 0, planned.stderr
    assert "psf_photometry" in planned.stdout


def graph(workspace):
    """Rules that each rule waits for."""
    drawn = workspace.snakemake("--rulegraph").stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', drawn))
    before = {name: set() for name in names.values()}
    for first, then in re.findall(r"(\d+) -> (\d+)", drawn):
        before[names[then]].add(names[first])
    return before


def test_rules_that_lead_to_a_dataset_are_those_that_snakemake_finds(workspace):
    """With everything on: what the dataset waits for is upstream, all else is a product."""
    workspace.images("a.fits")
    sections = {
        "series": {"field": {"images": "images/*.fits", "targets": [{"name": "T", "star_id": 1}]}},
        "photometry": {"methods": ["aperture", "psf"], "psf": {"residual_pictures": True}},
        "export": {"formats": ["fits"]},
        "annotate_images": True,
    }
    for source in ("tap", "reference_image"):
        sections["gaia"] = {"source": source}
        workspace.config.write_text(yaml.safe_dump(sections))
        before = graph(workspace)
        waiting, upstream = ["calibrate_dataset"], set()
        while waiting:
            name = waiting.pop()
            if name not in upstream:
                upstream.add(name)
                waiting += before[name]
        # Without a digest of its code: what is pinned is not fetched again.
        coded = set(before) - {"all", "download_gaia"}
        assert upstream_rules(check(sections, load_schema(_SCHEMA)), coded) == sorted(upstream - {"download_gaia"})
        assert coded - upstream == {product.rule for product in PRODUCTS}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_rule_of_a_method_reads_what_is_declared(workspace, method):
    text = (workspace.repo / "rules/photometry.smk").read_text()
    rule = re.search(
        rf"^rule {method.rule}:\n    input:\n(.*?)    output:\n(.*?)    log:", text, re.DOTALL | re.MULTILINE
    )
    read = re.findall(r"results/\{series\}/(\w+)/\{batch\}\.h5", rule[1])
    assert read == [*method.reads, *method.needs]
    assert re.findall(r'"(.+)"', rule[2]) == [f"results/{{series}}/{method.name}/{{batch}}.h5"]
    assert f'settings_of_method("{method.name}")' in text
