"""The trainers: `python -m train.lstm` and `python -m train.gan`, and what they share."""

from .processor import prefer_wide_kernels

prefer_wide_kernels()  # before NumPy is imported and reads it
