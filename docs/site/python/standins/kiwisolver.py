"""kiwisolver in NumPy: the sizes and places of axes for matplotlib's constrained layout.

The compiled package solves equations and inequalities of several strengths by the Cassowary
algorithm. matplotlib's equations have just one solution, whatever their strengths, and its
inequalities only say that no box may be turned inside out. So here the equations are solved as they
are; if a box then is turned inside out, matplotlib itself finds that, and says that the axes have
no room. Equations that contradict each other raise UnsatisfiableConstraint.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__version__ = "1.4"
STRENGTHS = ("required", "strong", "medium", "weak")
EXACT = 1e-7  # of figures' widths: far below a pixel, far above rounding


class UnsatisfiableConstraint(Exception):
    """Equations contradict each other."""


class Expression:
    """A sum of variables, each times a number, and a number."""

    def __init__(self, terms: dict[Variable, float], constant: float = 0.0) -> None:
        self.terms, self.constant = terms, constant

    def _plus(self, other: Any, factor: float) -> Expression:
        other = _expression(other)
        terms = dict(self.terms)
        for variable, number in other.terms.items():
            terms[variable] = terms.get(variable, 0.0) + factor * number
        return Expression(terms, self.constant + factor * other.constant)

    def __add__(self, other: Any) -> Expression:
        return self._plus(other, 1.0)

    def __sub__(self, other: Any) -> Expression:
        return self._plus(other, -1.0)

    def __mul__(self, factor: float) -> Expression:
        terms = {variable: number * float(factor) for variable, number in self.terms.items()}
        return Expression(terms, self.constant * float(factor))

    def __truediv__(self, divisor: float) -> Expression:
        return self * (1 / float(divisor))

    def __neg__(self) -> Expression:
        return self * -1.0

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Expression:
        return (-self)._plus(other, 1.0)

    def __eq__(self, other: object) -> Any:
        return Constraint(self - other, is_equation=True)

    def __ge__(self, other: Any) -> Constraint:
        return Constraint(self - other, is_equation=False)

    def __le__(self, other: Any) -> Constraint:
        return Constraint(_expression(other) - self, is_equation=False)

    __hash__ = None  # type: ignore[assignment]


class Variable:
    """A number that is looked for."""

    def __init__(self, name: str = "") -> None:
        self._name, self._value = name, 0.0

    def name(self) -> str:
        """Its name."""
        return self._name

    def value(self) -> float:
        """Its value after `Solver.updateVariables`."""
        return self._value

    def __add__(self, other: Any) -> Expression:
        return _expression(self)._plus(other, 1.0)

    def __sub__(self, other: Any) -> Expression:
        return _expression(self)._plus(other, -1.0)

    def __rsub__(self, other: Any) -> Expression:
        return _expression(other) - self

    def __mul__(self, factor: float) -> Expression:
        return _expression(self) * factor

    def __truediv__(self, divisor: float) -> Expression:
        return _expression(self) / divisor

    def __neg__(self) -> Expression:
        return -_expression(self)

    def __eq__(self, other: object) -> Any:
        return _expression(self) == other

    def __ge__(self, other: Any) -> Constraint:
        return _expression(self).__ge__(other)

    def __le__(self, other: Any) -> Constraint:
        return _expression(self).__le__(other)

    __radd__ = __add__
    __rmul__ = __mul__
    __hash__ = object.__hash__


class Constraint:
    """That an expression is 0, or not below 0."""

    def __init__(
        self, expression: Expression, is_equation: bool, strength: str = "required"
    ) -> None:
        self.expression, self.is_equation, self.strength = expression, is_equation, strength

    def __or__(self, strength: str) -> Constraint:
        if strength not in STRENGTHS:
            raise ValueError(f"expected one of {STRENGTHS}, got {strength!r}")
        return Constraint(self.expression, self.is_equation, strength)


def _expression(value: Any) -> Expression:
    if isinstance(value, Expression):
        return value
    if isinstance(value, Variable):
        return Expression({value: 1.0})
    return Expression({}, float(value))


class Solver:
    """Equations between variables, some of which are given."""

    def __init__(self) -> None:
        self._equations: list[Expression] = []
        self._given: dict[Variable, float] = {}
        self._solution: tuple[list[Variable], Any, Any] | None = None

    def addConstraint(self, constraint: Constraint) -> None:
        """Add an equation; inequalities are left to matplotlib, see above."""
        if constraint.is_equation:
            self._equations.append(constraint.expression)
            self._solution = None

    def addEditVariable(self, variable: Variable, strength: str) -> None:
        """Say that a variable will be given by `suggestValue`."""
        self._given[variable] = 0.0
        self._solution = None

    def suggestValue(self, variable: Variable, value: float) -> None:
        """Give a variable."""
        if variable not in self._given:
            raise ValueError(f"{variable.name()!r} has not been added as one that is given")
        self._given[variable] = float(value)

    def updateVariables(self) -> None:
        """Solve the equations, and set all variables.

        Raises:
            UnsatisfiableConstraint: There is no solution.
        """
        unknown, matrix, inverse = self._solution or self._solved()
        right = np.array([-self._known(each) for each in self._equations])
        values = inverse @ right
        if np.abs(matrix @ values - right).max(initial=0.0) > EXACT:
            raise UnsatisfiableConstraint("the equations of a layout contradict each other")
        for variable, value in (*self._given.items(), *zip(unknown, values.tolist(), strict=True)):
            variable._value = value

    def _known(self, expression: Expression) -> float:
        given = self._given
        terms = expression.terms.items()
        return expression.constant + sum(n * given[v] for v, n in terms if v in given)

    def _solved(self) -> tuple[list[Variable], Any, Any]:
        """The unknown variables, their factors in all equations, and the pseudo-inverse."""
        variables = dict.fromkeys(v for each in self._equations for v in each.terms)
        unknown = [v for v in variables if v not in self._given]
        column = {variable: k for k, variable in enumerate(unknown)}
        matrix = np.zeros((len(self._equations), len(unknown)))
        for row, expression in enumerate(self._equations):
            for variable, number in expression.terms.items():
                if variable in column:
                    matrix[row, column[variable]] += number
        self._solution = unknown, matrix, np.linalg.pinv(matrix)
        return self._solution
