import pytest

from gaiaflux.model.errors import InputError
from gaiaflux.workflow import digest as module
from gaiaflux.workflow.digest import code_digest, import_closure

FILES = {
    "rule.py": "from gaiaflux.core import a\n\ndef main(smk):\n    from gaiaflux.io.late import read\n",
    "gaiaflux/__init__.py": "",
    "gaiaflux/core/__init__.py": '"""Core."""\n',
    "gaiaflux/core/a.py": "from .b import two\nimport numpy as np\n",
    "gaiaflux/core/b.py": '"""Doc."""\ntwo = 2  # comment\n\ndef f():\n    """Doc."""\n    return two\n',
    "gaiaflux/core/unused.py": "x = 1\n",
    "gaiaflux/io/__init__.py": "",
    "gaiaflux/io/late.py": "from ..model.c import C\nimport gaiaflux.workflow.job\n",
    "gaiaflux/model/__init__.py": "",
    "gaiaflux/model/c.py": "from gaiaflux.core import a\nC = 1\n",
    "gaiaflux/workflow/__init__.py": "",
    "gaiaflux/workflow/job.py": "def run(): ...\n",
}


@pytest.fixture
def scripts(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def digest(scripts):
    for cached in (module._module, module._file_of):
        cached.cache_clear()
    return code_digest(scripts / "rule.py")


def test_the_closure_holds_all_that_is_imported_and_nothing_else(scripts):
    names = {name.removeprefix("gaiaflux.") for name in import_closure(scripts / "rule.py")}
    assert names == {"core", "core.a", "core.b", "io", "io.late", "model", "model.c"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rule.py", FILES["rule.py"].replace("main", "other")),
        ("gaiaflux/core/b.py", FILES["gaiaflux/core/b.py"].replace("two = 2", "two = 3")),
        ("gaiaflux/core/b.py", FILES["gaiaflux/core/b.py"].replace("two = 2", "two = 2.0")),
        ("gaiaflux/core/b.py", FILES["gaiaflux/core/b.py"].replace("return two", "return not two")),
        ("gaiaflux/model/c.py", FILES["gaiaflux/model/c.py"] + "C += 1\n"),
        ("gaiaflux/core/__init__.py", "import os\n"),
        ("gaiaflux/io/__init__.py", "from gaiaflux.core import unused\n"),
    ],
)
def test_a_change_of_code_changes_the_digest(scripts, file, text):
    before = digest(scripts)
    (scripts / file).write_text(text)
    assert digest(scripts) != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("gaiaflux/core/b.py", 'two = (\n    2\n)\n\n\ndef f():\n    """Else."""\n    # comment\n    return two\n'),
        ("gaiaflux/core/unused.py", "x = 2\n"),
        ("gaiaflux/workflow/job.py", "def run(): return 1\n"),
        ("gaiaflux/__init__.py", "__version__ = '2'\n"),
    ],
)
def test_comments_layout_and_other_modules_do_not(scripts, file, text):
    before = digest(scripts)
    (scripts / file).write_text(text)
    assert digest(scripts) == before


def test_the_place_of_the_checkout_does_not_count(scripts, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "place"
    before = digest(scripts)
    scripts.rename(other)
    assert digest(other) == before


def test_a_digest_of_nothing_is_refused(scripts):
    with pytest.raises(InputError, match=r"none.py: the code of a rule cannot be read"):
        code_digest(scripts / "none.py")
    (scripts / "gaiaflux" / "core" / "a.py").write_text("def (\n")
    with pytest.raises(InputError, match=r"a.py: the code of a rule cannot be read"):
        digest(scripts)
