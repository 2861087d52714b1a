"""``python -m metalscope`` is the command ``metalscope``."""

from metalscope.cli import main

if __name__ == "__main__":
    main()
