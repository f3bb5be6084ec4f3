"""Every error that gated raises on purpose.

    GatedError
    ├── CellError        a cell's equations are malformed, or no such cell
    ├── ShapeError       a tensor has the wrong shape, dtype or device
    ├── OptionError      an option or argument has a value that makes no sense
    ├── EngineError      an engine cannot run what was asked of it
    ├── DataError        a file or table cannot be read as what it should be
    ├── CheckpointError  a checkpoint or run directory is damaged or does not fit
    └── TrainingError    training cannot go on

Each message says what was got, what was expected, and what to do. Each class also derives from
the built-in that callers of PyTorch would expect (ValueError, RuntimeError, ...), so that existing
`except` clauses keep working.
"""


class GatedError(Exception):
    """The root of every error that gated raises on purpose."""


class CellError(GatedError, ValueError):
    """A cell's equations are malformed, or no cell has that name."""


class ShapeError(GatedError, ValueError):
    """A tensor has the wrong shape, dtype or device."""


class OptionError(GatedError, ValueError):
    """An option or argument has a value that makes no sense."""


class EngineError(GatedError, RuntimeError):
    """The engine that was asked for cannot run this cell on these arguments."""


class DataError(GatedError, ValueError):
    """A file or table cannot be read as what it should be; names file, line and column."""


class CheckpointError(GatedError, RuntimeError):
    """A checkpoint or run directory is damaged, or does not fit the model."""


class TrainingError(GatedError, RuntimeError):
    """Training cannot go on; names epoch, step and batch."""
