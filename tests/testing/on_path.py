"""`python -m tests.testing.on_path FOLDER MODULE …`: run a module where a folder's packages are found first."""

import os
import runpy
import sys

if __name__ == "__main__":
    site = sys.argv[1]
    sys.path.insert(0, site)
    os.environ["PYTHONPATH"] = os.pathsep.join([site, os.environ["PYTHONPATH"]])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
