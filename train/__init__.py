"""The trainers `train.lstm`, `train.gan` and `train.classifier`, what they share, and tools."""

from .processor import prefer_wide_kernels

prefer_wide_kernels()  # before NumPy is imported and reads it
