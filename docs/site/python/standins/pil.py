"""PIL in NumPy; see pil_image.py and pil_rest.py."""

__version__ = "10.0"
