"""Kernels that Numba compiles: loops over elements, for the work between matrix products.

NumPy reads and writes memory once for each arithmetic operation; a compiled loop does so once for
all of them. All kernels are for float32, the dtype of training, and run on one thread: with
several, they would compete for the cores with BLAS's threads, which spin while they wait. Compiled
code is cached on disk, in `__pycache__` or in NUMBA_CACHE_DIR.
"""
