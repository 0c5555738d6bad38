"""How fast minigrad is beside other frameworks: `python -m benchmarks --help`."""
