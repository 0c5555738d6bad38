"""NumPy: kernels that are faster than their definitions on the CPU."""
