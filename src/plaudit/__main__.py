"""``python -m plaudit``: the command line, where the script ``plaudit`` is not on the path."""

from plaudit.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
