"""Tools for looking at a computation: checked gradients, the first NaN, the graph as a picture."""
