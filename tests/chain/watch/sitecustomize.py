"""Count in every job of a run how often plate solutions are parsed from text, and which images are decoded.

Python runs this file at its start where its folder is on the path. The counts of a process are a line of the file that
GAIAFLUX_WATCH names.
"""

import atexit
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections import Counter

PARSED = Counter()
DECODED = Counter()
WATCHED = {
    "gaiaflux.io.image.wcs_cards": ("_parse", lambda *_: PARSED.update(["text"])),
    "gaiaflux.io.image.planes": ("read_planes", lambda path, *_: DECODED.update([str(path)])),
}


class Watcher(importlib.abc.MetaPathFinder):
    """Puts the counter around a function of a module when that has been loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in WATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_wrap(module):
            load(module)
            function, count = WATCHED[name]
            original = getattr(module, function)

            def counted(*arguments, **options):
                count(*arguments)
                return original(*arguments, **options)

            setattr(module, function, counted)

        spec.loader.exec_module = load_and_wrap
        return spec


def write_down():
    line = json.dumps({"script": os.path.basename(sys.argv[0]), "parsed": PARSED["text"], "decoded": DECODED})
    with open(os.environ["GAIAFLUX_WATCH"], "a", encoding="utf-8") as file:
        file.write(line + "\n")


if "GAIAFLUX_WATCH" in os.environ:
    sys.meta_path.insert(0, Watcher())
    atexit.register(write_down)
