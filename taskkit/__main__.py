"""`python -m taskkit`."""

from taskkit.cli import main

if __name__ == "__main__":
    main()
