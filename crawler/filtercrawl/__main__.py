"""`python -m filtercrawl`."""

from filtercrawl.cli import main

if __name__ == "__main__":
    main()
