"""Folders of machine code for tests, beside which the checkout's own stay as they are."""

import os

import pytest

from gaiaflux.core.kernels import cache, canary, numba_code
from gaiaflux.core.kernels.cache import Folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty folders in place of the checkout's and the user's."""
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    user = frozenset({os.getuid()})
    found = [Folder(tmp_path / "checkout", 0o755, user), Folder(tmp_path / "private", 0o700, user)]
    monkeypatch.setattr(cache, "_folders", lambda: iter(found))
    return found


@pytest.fixture
def fresh():
    """Nothing is known of this process: neither the canary's answer nor what was compiled or said."""
    known = (canary.machine_code_works, canary.give_up, numba_code._dispatcher)
    for function in known:
        function.cache_clear()
    yield
    for function in known:
        function.cache_clear()
