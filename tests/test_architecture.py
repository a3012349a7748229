"""The house: who may import whom, what a rule and its script look like, and what no file may contain."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from gaiaflux.core.kernels.collect import PACKAGES
from gaiaflux.model.methods import METHODS

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
PACKAGE = SCRIPTS / "gaiaflux"
LIBRARY = sorted(PACKAGE.rglob("*.py"))
RULE_SCRIPTS = sorted(SCRIPTS.glob("*.py"))
RULE_FILES = sorted((ROOT / "rules").glob("*.smk"))

# Layer -> layers that it may import besides itself.
MAY_IMPORT = {
    "model": set(),
    "core": {"model"},
    "io": {"model", "core"},
    "sim": {"model", "core", "io"},
    "series": {"model", "core", "io"},
    "ground": {"model", "core", "io", "series"},
    "tess": {"model", "core", "io", "series"},
    "report": {"model", "core", "io", "series"},
    "cli": {"model", "core", "io", "series", "ground", "tess", "report"},
    "workflow": {"model"},
    "": {"series", "ground", "tess", "report", "model"},
}
# Sub-packages of core: each may import those before it.
CORE = (
    "kernels",
    "maths",
    "sky",
    "image",
    "psf",
    "stars",
    "plate",
    "aperture",
    "difference",
    "calibration",
    "cadences",
)
# The classes for notebooks check their caller's settings as the workflow does.
SETTINGS = "gaiaflux.workflow.settings."
# All that the rules' own part needs of the files; it loads nothing but the standard library.
AT_PARSING = ("gaiaflux.io.atomic.", "gaiaflux.io.tess.ccd_head.", "gaiaflux.io.tess.target_head.")
NETWORK = {"astroquery", "pyvo", "requests", "urllib", "http", "socket", "ssl"}
# Methods of photometry and families of instruments: each is told apart in its own module or in one list, nowhere else.
FAMILIES = ("ground", "tess")
KINDS = {*(method.name for method in METHODS), "linpsf", "dia", *FAMILIES}
FILES = {*NETWORK, "astropy.io.fits", "h5py", "pyarrow", "pathlib", "logging"}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def names_imported(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def rules_of(path):
    """Name and body of each rule in a file."""
    parts = re.split(r"^rule (\w+):\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def all_rules():
    return [(name, body) for path in RULE_FILES for name, body in rules_of(path)]


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_imports_go_in_one_direction(path):
    own = layer(path)
    for name in names_imported(path):
        parts = name.split(".")
        if parts[0] == "gaiaflux":
            assert len(parts) > 2, f"{name}: import from the module itself"
            assert own in MAY_IMPORT, (
                f"{own} is a new layer: say in MAY_IMPORT and docs/architecture.md what it may import"
            )
            allowed = parts[1] == own or parts[1] in MAY_IMPORT[own]
            allowed = allowed or (own in FAMILIES and SETTINGS in name)
            allowed = allowed or (own == "workflow" and name.startswith(AT_PARSING))
            assert allowed, f"{own} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").rglob("*.py")), ids=ids)
def test_core_builds_upwards(path):
    parts = path.relative_to(PACKAGE / "core").parts
    if len(parts) == 1:
        assert path.name == "__init__.py", "core has sub-packages only"
        return
    assert len(parts) == 2
    below = CORE[: CORE.index(parts[0]) + 1]
    for name in names_imported(path):
        if name.startswith("gaiaflux.core."):
            assert name.split(".")[2] in below, f"{parts[0]} imports {name}"


def cycle(imported):
    """Modules that import each other in a circle; empty where there is none."""
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_by_way_of_others():
    """Imports in functions count too: they only hide a circle."""
    modules = {".".join(path.relative_to(SCRIPTS).with_suffix("").parts): path for path in LIBRARY}
    imported = {name: {other.rpartition(".")[0] for other in names_imported(path)} for name, path in modules.items()}
    for name, path in modules.items():
        imported[name] |= set(names_imported(path))
        imported[name] &= set(modules)
    assert sum(map(len, imported.values())) > len(modules)
    assert cycle(imported) == []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_each_package_says_what_lives_there():
    folders = sorted({path.parent for path in LIBRARY})
    for folder in folders:
        text = (folder / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), folder
        assert folder == PACKAGE or len(text.splitlines()) <= 4, f"{folder}: an __init__ re-exports nothing"


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_layers_keep_to_their_kind(path):
    own, names = layer(path), list(names_imported(path))
    if own in ("core", "model"):
        # The compiler of kernels is no part of any computation.
        assert path.parent.name == "kernels" or not [
            name for name in names if any(f"{name}.".startswith(f"{file}.") for file in FILES)
        ]
    if own != "io":
        assert not [name for name in names if name.startswith(("h5py", "pyarrow"))]
        assert not re.search(r"\bfits\.open\(|\bread_parquet\(|\bto_parquet\(", path.read_text(encoding="utf-8"))
    if own == "workflow" or path == PACKAGE / "io" / "atomic.py":
        free = {*sys.stdlib_module_names, "gaiaflux"}
        inside = {name for node in tree(path).body if isinstance(node, ast.Import) for name in (node.names[0].name,)}
        inside |= {node.module for node in tree(path).body if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in inside} <= free
        assert {name.split(".")[0] for name in names} <= {*free, "yaml"}


def test_scripts_use_the_layers_and_stay_small():
    for path in RULE_SCRIPTS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 60, path
        functions = {node.name: node for node in tree(path).body if isinstance(node, ast.FunctionDef)}
        assert [argument.arg for argument in functions["main"].args.args] == ["smk"], path
        assert text.endswith('\n\nif __name__ == "__main__":\n    run_job(main, snakemake)\n'), path
        assert not re.search(r"smk\.config\b|snakemake\.config\b", text), f"{path}: settings come through params"


def test_every_rule_has_its_script_and_every_script_its_rule():
    names = [name for name, _ in all_rules()]
    assert sorted(names) == sorted(set(names))
    assert sorted(names) == [path.stem for path in RULE_SCRIPTS]
    for name, body in all_rules():
        assert re.findall(r'script:\n\s+"(.+)"', body) == [f"../scripts/{name}.py"]


def test_every_rule_is_fully_dressed():
    for name, body in all_rules():
        for directive in ("output", "log", "conda", "threads", "resources", "params", "message", "script"):
            assert re.search(rf"^    {directive}:", body, re.MULTILINE), f"{name} has no {directive}"
        assert "mem_mb=" in body, name
        assert "runtime=" in body, name
        assert "threads: 1\n" in body, name
        assert "lambda" not in body, name
        assert "ancient(" not in body, f"{name}: see once.smk"
        environment = re.search(r'conda:\n\s+"\.\./(envs/\w+\.yaml)"', body)[1]
        assert (ROOT / environment).is_file(), environment
        assert ('code=code("' + name + '")' in body) == (name not in ("download_gaia", "download_tess")), name


def test_only_one_file_of_rules_uses_the_network():
    for path in RULE_FILES:
        for name, _ in rules_of(path):
            closure = _closure(SCRIPTS / f"{name}.py")
            network = [name for name in closure if name.split(".")[0] in NETWORK]
            assert not network or path.name == "download.smk", (name, network)


def test_one_module_carries_the_bytes():
    for path in LIBRARY:
        carriers = [
            name for name in names_imported(path) if name.startswith(("http", "socket", "ssl", "urllib.request"))
        ]
        assert not carriers or path.name == "transport.py", (path, carriers)


def _closure(script):
    from gaiaflux.workflow.digest import import_closure

    return {name for path in [script, *import_closure(script).values()] for name in names_imported(path)}


def test_the_families_never_import_each_other():
    for script in RULE_SCRIPTS:
        families = {name.split(".")[1] for name in _closure(script) if name.startswith("gaiaflux.")} & set(FAMILIES)
        assert len(families) <= 1, script


def test_kernels_of_every_family_are_found():
    assert {f"gaiaflux.{family}" for family in FAMILIES} <= set(PACKAGES)


def test_the_snakefile_is_short():
    assert len((ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()) < 50
    for name in ("common.smk", "inputs.smk", "params.smk", "once.smk"):
        assert not rules_of(ROOT / "rules" / name)
        assert len((ROOT / "rules" / name).read_text(encoding="utf-8").splitlines()) < 120, f"{name}: see workflow/"


@pytest.mark.parametrize("path", [*LIBRARY, *RULE_SCRIPTS], ids=ids)
def test_nothing_is_printed_swallowed_or_left(path):
    assert path.stem not in ("utils", "helpers", "misc", "_helpers", "_utils")
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "sys.exit", "exit", "quit", "os._exit"), f"{path}:{node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert caught not in ("", "Exception", "BaseException") or raises, f"{path}:{node.lineno} swallows"


@pytest.mark.parametrize("path", LIBRARY, ids=ids)
def test_every_module_says_what_it_offers(path):
    assert ast.get_docstring(tree(path)), path
    offered = [
        node for node in tree(path).body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert offered or path.name in ("__init__.py", "__main__.py"), path


def test_what_measures_frames_does_not_know_the_list_of_methods():
    """Else an entry more would measure every series again."""
    from gaiaflux.workflow.digest import import_closure

    for method in METHODS:
        assert "gaiaflux.model.methods" not in import_closure(SCRIPTS / f"{method.rule}.py")


def decisions(node):
    """What a node of the syntax tree decides by: both sides of a comparison, a condition, or a pattern."""
    if isinstance(node, ast.Compare):
        yield node
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield node.test
    elif isinstance(node, ast.comprehension):
        yield from node.ifs
    elif isinstance(node, ast.Match):
        yield node.subject
        yield from (case.pattern for case in node.cases)
        yield from (case.guard for case in node.cases if case.guard)


def kinds_decided_by(text):
    return {
        (inner.lineno, inner.value)
        for node in ast.walk(ast.parse(text))
        for decision in decisions(node)
        for inner in ast.walk(decision)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and inner.value in KINDS
    }


@pytest.mark.parametrize(
    "path",
    [path for path in [*LIBRARY, *RULE_SCRIPTS] if path.parent != PACKAGE / "model" or "method" not in path.stem],
    ids=ids,
)
def test_nothing_is_decided_by_the_name_of_a_method_or_a_family(path):
    assert not kinds_decided_by(path.read_text(encoding="utf-8"))


def test_decisions_are_found():
    for text in (
        "x == 'psf'",
        "'psf' in x",
        "x not in ('aperture', 'psf')",
        "if x['psf']: pass",
        "y = 1 if x.get('dia') else 2",
        "[y for y in x if y.startswith('tess')]",
        "match x:\n    case 'ground': pass",
        "while x(['linpsf']): pass",
    ):
        assert kinds_decided_by(text), text
    assert not kinds_decided_by("if x:\n    y = z['psf']\nfor y in ('aperture',): pass")


def statuses_compared(text):
    """Lines that compare a status with its text, in place of the constant of `model/status.py`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare | ast.Match)
        for decision in decisions(node)
        for inner in ast.walk(decision)
        if isinstance(inner, ast.Constant) and inner.value == "ok"
    ]


@pytest.mark.parametrize("path", [*LIBRARY, *RULE_SCRIPTS], ids=ids)
def test_a_status_is_compared_by_its_constant(path):
    assert not statuses_compared(path.read_text(encoding="utf-8"))


def test_compared_statuses_are_found():
    for text in ("x != 'ok'", "'ok' in x", "x in ('ok', 'bad')", "match x:\n    case 'ok': pass"):
        assert statuses_compared(text), text
    assert not statuses_compared("x = {'status': 'ok'} if y == OK else 'ok'")


def test_no_rule_decides_by_the_name_of_a_method_or_a_family():
    named = rf"""["'](?:{"|".join(sorted(KINDS))})["']"""
    deciding = re.compile(
        rf"^.*(?:{named}.*(?:[=!]=|\b(?:not )?in\b|\belse\b)|(?:[=!]=|\b(?:in|if|elif|case)\b).*{named}).*$", re.M
    )
    for path in [ROOT / "Snakefile", *RULE_FILES]:
        assert not deciding.findall(path.read_text(encoding="utf-8")), path
    for line in ('if "psf" in x:', "x == 'psf'", '1 if y["dia"] else 2', 'elif f("tess"):'):
        assert deciding.search(line), line
    assert not deciding.search('settings=settings_of_method("aperture"),')


def test_parsing_needs_neither_numpy_nor_astropy():
    modules = [f"gaiaflux.workflow.{path.stem}" for path in sorted((PACKAGE / "workflow").glob("[a-z]*.py"))]
    code = f"import sys, {', '.join(modules)}; print({{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "astropy", "pandas", "h5py", "numba", "snakemake"} & ast.literal_eval(done.stdout)


def test_no_text_names_a_machine():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    suspicious = re.compile(r"(?<![\w.])/(home|root|work|tmp|Users|mnt|opt)/\w")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if (
            path.is_file()
            and path != Path(__file__)
            and path.suffix in (".py", ".smk", ".yaml", ".toml", ".md", ".lock", "")
        ):
            found = suspicious.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found[0]}"


def test_the_picture_of_the_house_is_true():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    picture = module_from_spec(spec)
    spec.loader.exec_module(picture)
    imported, modules = picture.imports()
    assert set(modules) <= set(picture.PARTS)
    upwards = [pair for pair in imported if picture.PARTS.index(pair[1]) >= picture.PARTS.index(pair[0])]
    assert not upwards
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for part in modules:
        assert f"`{part.replace('.', '/')}" in text, f"docs/architecture.md does not name {part}"
