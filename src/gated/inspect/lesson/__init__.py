"""The interactive lesson: one offline HTML page that computes with the cells' own equations.

    from gated.inspect.lesson import write_lesson

`grammar`, `sentiment` and `train` are the small model of its chapter about a sentence.
"""

from gated.inspect.lesson.page import lesson, write_lesson

__all__ = ["lesson", "write_lesson"]
