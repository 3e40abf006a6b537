"""`python -m tsn` is the command `tsn`."""

from tsn.cli import main

if __name__ == "__main__":
    main()
