"""A backward pass step by step, as text and as pictures. backward_pass.py watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minigrad.nn.module import Module
from minigrad.tensor import Tensor

if TYPE_CHECKING:
    from minigrad.tools.backward_pass import BackwardPass

__all__ = ["show_backward"]


def show_backward(
    tensor: Tensor, /, gradient: Tensor | None = None, **named: Tensor | Module
) -> BackwardPass:
    """Show what `tensor.backward(gradient)` does, step by step, without doing it.

    The steps are those of a real backward pass. It changes no `.grad`, and the graph stays.

    Args:
        tensor: The result, such as a loss.
        gradient: A Tensor of its shape; may be left out for a one-element Tensor (1).
        named: Names for Tensors and for modules, as in `mg.draw`.

    Returns:
        The pass, to be printed, shown in a notebook, or saved as pictures.

    Raises:
        TypeError: `tensor` is no Tensor, or a named value is neither a Tensor nor a Module.
        ShapeError: Several elements and no `gradient`, or one of another shape.
        GraphFreedError: An earlier pass has freed the graph.
        ChangedValueError: A value that backward needs was changed after the forward pass.
        RuntimeError: The Tensor does not require a gradient.

    Example:
        >>> import minigrad as mg
        >>> a = mg.tensor(3.0, requires_grad=True)
        >>> b = mg.tensor(2.0, requires_grad=True)
        >>> d = a * b
        >>> show_backward(d * (d + a), a=a, b=b, d=d)
        The way back from multiply, 3 steps; the youngest operation comes first.
        g is the gradient that has arrived. Each line 'a -> d:  rule = gradient' tells what
        the operation hands on to d, which was its input a.
        <BLANKLINE>
        1. multiply(d, add), shape (), value 54
           arrived  g = 1
           a -> d (step 3):  g * b = 1 * 9 = 9
           b -> add (step 2):  g * a = 1 * 6 = 6
        <BLANKLINE>
        2. add(d, a), shape (), value 9
           arrived  g = 6
           a -> d (step 3):  g = 6
           b -> a:  g = 6
        <BLANKLINE>
        3. d = multiply(a, b), shape (), value 6
           arrived  g = 15   (the sum of 2)
           a -> a:  g * b = 15 * 2 = 30
           b -> b:  g * a = 15 * 3 = 45
        <BLANKLINE>
        Leaves, with their gradients:
           a:  36   (the sum of 2)
           b:  45
    """
    from minigrad.tools.backward_pass import watch  # only here, to keep `import minigrad` short

    return watch(tensor, gradient, named)
