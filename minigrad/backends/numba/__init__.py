"""Kernels that Numba compiles: loops over single numbers, for what lies between the products.

NumPy goes through memory once for each arithmetic operation; a compiled loop once for all of them.
All kernels are for float32, the dtype of training, and run on one thread: Numba's own threads and
BLAS's, which spin while they wait, would fight for the cores. Compiled code is kept on disk, in
`__pycache__` or where NUMBA_CACHE_DIR says.
"""
