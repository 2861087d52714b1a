"""What `metalscope run` does at its end, and no more: run a program and exit with its status."""

import sys

from metalscope.script import ScriptNotFoundError, run_module, run_script

if __name__ == "__main__":
    try:
        if sys.argv[1] == "-m":
            status = run_module(sys.argv[2], sys.argv[3:])
        else:
            status = run_script(sys.argv[1], sys.argv[2:])
    except ScriptNotFoundError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    sys.exit(status)
