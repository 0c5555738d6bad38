"""The course's exercises: `python -m minigrad.learn` lists, shows and checks them.

In a notebook `check("2.3", my_function)`, or `@check("2.3")` above the function, says that the
answer is right, or what is wrong and why.
"""

from minigrad.learn.checking import Report, answer, check, hint, listing, show
from minigrad.learn.exercise import exercises

__all__ = ["Report", "answer", "check", "exercises", "hint", "listing", "show"]
