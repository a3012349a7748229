"""The conda files agree with pyproject.toml, and with what the scripts of their rules import."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from gaiaflux.workflow.digest import import_closure, imported_names

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = dict(re.fullmatch(r"([\w-]+)(>=[\d.]+(?:,<[\d.]+)?)", line).groups() for line in PROJECT["dependencies"])
# Their private members are used (`gaiaflux.core.kernels`), so that each new version needs a look.
BOUNDED = {"llvmlite", "numba"}
# Packages that bring a module of another name.
PACKAGES = {"yaml": "pyyaml", "erfa": "astropy"}
# Reads and writes the formats that astropy and pandas are asked for by name.
BY_NAME = {"pyarrow"}


def rules_with(environment):
    for path in (ROOT / "rules").glob("*.smk"):
        parts = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if f'"../envs/{environment}"' in body:
                yield name


def third_party(rule):
    script = ROOT / "scripts" / f"{rule}.py"
    closure = import_closure(script)
    names = {name for path in [script, *closure.values()] for name in imported_names(path, "")}
    tops = {name.split(".")[0] for name in names}
    return {PACKAGES.get(top, top) for top in tops - set(sys.stdlib_module_names) - {"gaiaflux", "snakemake"}}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_an_environment_has_what_its_rules_import_in_the_versions_of_the_project(path):
    content = yaml.safe_load(path.read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    given = dict(line.split(" ") for line in content["dependencies"])
    assert given.pop("python") == PROJECT["requires-python"]
    rules = sorted(rules_with(path.name))
    assert rules, "no rule uses it"
    needed = set().union(*(third_party(rule) for rule in rules))
    assert needed <= given.keys() <= needed | BY_NAME
    assert given == {name: VERSIONS[name] for name in given}


def test_the_lock_has_every_dependency_and_satisfies_it():
    locked = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "envs" / "requirements.lock").read_text(), re.MULTILINE))
    for name, versions in VERSIONS.items():
        assert locked[name] in SpecifierSet(versions), name


def test_what_has_private_members_that_are_used_has_an_upper_bound():
    assert {name for name, versions in VERSIONS.items() if "<" in versions} == BOUNDED
