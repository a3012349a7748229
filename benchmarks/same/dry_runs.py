"""Run the workflow's command line again and again without importing Snakemake each time.

Run in a tree's environment. Each line of the standard input is a JSON list of arguments; each line of the output is the
exit code (negative: the signal that ended it) and what was said. Every call has a process of its own, forked from this.
"""

import json
import os
import sys
import tempfile
import traceback

import pandas  # noqa: F401
import snakemake.cli
import snakemake.workflow


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                _call(json.loads(line), said.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said.seek(0)
            text = said.read().decode("utf-8", "replace")
        print(json.dumps([code, text]), flush=True)


def _call(arguments: list[str], said: int) -> None:
    os.dup2(said, 1)
    os.dup2(said, 2)
    code = 1
    try:
        snakemake.cli.main(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # Said rather than raised: this process must never come back into the loop of the other.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
