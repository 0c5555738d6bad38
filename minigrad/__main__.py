"""`python -m minigrad` says which backends work here, and what is missing: see info.py."""

from minigrad.info import main

if __name__ == "__main__":
    main()
