import json
import logging
import warnings
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles

from gaiaflux.model.errors import InputError
from gaiaflux.workflow.job import batches_by_method, run_job


@pytest.fixture
def job(tmp_path):
    return SimpleNamespace(
        rule="some_rule", log=[str(tmp_path / "logs" / "x.log")], output={}, params=SimpleNamespace(request={"a": 1})
    )


def log_of(job):
    with open(job.log[0], encoding="utf-8") as stream:
        return stream.read()


def test_what_is_logged_and_warned_goes_to_the_log_file(job):
    def main(smk):
        assert smk is job
        logging.getLogger("gaiaflux").info("three stars")
        warnings.warn("low on stars", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run_job(main, job)
    assert "INFO gaiaflux: three stars" in log_of(job)
    assert "UserWarning: low on stars" in log_of(job)


def test_wrong_input_is_one_sentence_and_exit_code_1(job):
    def main(_):
        raise InputError("the table has no column ra")

    with pytest.raises(SystemExit) as ended:
        run_job(main, job)
    # Python prints a text on stderr and ends with code 1.
    assert ended.value.code == "some_rule: the table has no column ra"
    assert log_of(job) == "some_rule: the table has no column ra\n"


def test_a_bug_leaves_its_traceback_and_raises(job):
    with pytest.raises(ZeroDivisionError):
        run_job(lambda _: 1 / 0, job)
    assert "Traceback" in log_of(job)
    assert log_of(job).endswith("ZeroDivisionError: division by zero\n")


def test_a_request_is_noted_when_it_has_been_met_and_not_before(job, tmp_path):
    job.output = {"request": str(tmp_path / "request.json")}
    with pytest.raises(ZeroDivisionError):
        run_job(lambda _: 1 / 0, job)
    assert not (tmp_path / "request.json").exists()
    run_job(lambda _: None, job)
    assert json.loads((tmp_path / "request.json").read_text()) == {"a": 1}


def test_batches_are_found_by_the_names_of_the_methods():
    given = InputFiles(fromdict={"psf": ["p1", "p2"], "stars": ["s"], "aperture": ["a"]})
    found = batches_by_method(given, "stars")
    assert list(found.items()) == [("aperture", ["a"]), ("psf", ["p1", "p2"])]
    assert batches_by_method(InputFiles(fromdict={"psf": [], "stars": ["s"], "aperture": ["a"]}), "stars") == {
        "aperture": ["a"]
    }


def test_files_of_a_method_that_nobody_knows_are_not_dropped():
    given = InputFiles(fromdict={"aperture": ["a"], "dia": ["d"], "stars": ["s"]})
    with pytest.raises(InputError, match=r"^there is no method of photometry 'dia'; methods: aperture, psf$"):
        batches_by_method(given, "stars")
