import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gaiaflux.cli.main import VERBS, main

ROOT = Path(__file__).parents[2]


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["inject", "water", "--series", "x"]])
def test_wrong_words_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: gaiaflux" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_module(verb):
    module = importlib.import_module(f"gaiaflux.cli.{verb}")
    assert {"add_arguments", "run"} <= set(module.__all__)


def test_trouble_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"^gaiaflux inject: .*dataset\.h5: missing; run the workflow"):
        main(["inject", "plant", "--directory", str(tmp_path), "--series", "field"])


def test_the_entry_point_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert declared == {"gaiaflux": "gaiaflux.cli.main:main"}


def test_help_costs_no_import_of_numerics():
    code = "import sys\ntry: import gaiaflux.cli.main as m; m.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print({'numpy', 'astropy', 'numba'} & {name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "set()"
