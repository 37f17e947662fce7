"""The diagnosis from Python: anything with curves in it → a verdict that shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.readers import read_log
from pipeline.diagnosis.record import Diagnosis
from pipeline.diagnosis.verdict import diagnose as judge
from pipeline.errors import DataError
from pipeline.home import expanded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 100  # columns of the text
_WANTED = (
    "Give a path, a dictionary of lists, a pandas DataFrame, a list of dictionaries (one for each "
    "epoch), or the History of Keras."
)


@dataclass(frozen=True)
class Judgement:
    """A verdict with the curves that it is about.

    Whatever a `Diagnosis` has, this has too: ``verdict``, ``confidence``, ``family``, ``evidence``.
    ``print`` shows the text of the terminal, a notebook shows picture and text.
    read: one line, which column was read as what; empty for a history that was read already.
    """

    diagnosis: Diagnosis
    history: History
    read: str = ""

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask before the fields are there.
        if name.startswith("_") or name in ("diagnosis", "history", "read"):
            raise AttributeError(f"a Judgement has no attribute {name!r}")
        return getattr(self.diagnosis, name)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *dir(self.diagnosis)} - {"__getattr__"})

    def __repr__(self) -> str:
        return f"<{self.diagnosis.name}: {self.diagnosis.in_words}>"

    def __str__(self) -> str:
        return "\n".join(part for part in (self.read, self._text()) if part)

    def to_json(self) -> str:
        """Return what ``output=json`` prints; docs/automation.md describes it."""
        from pipeline.files import to_json

        return to_json(self.diagnosis)

    def plot(self) -> Figure:
        """Draw losses, accuracies and a learning rate that changes, as far as they are there."""
        from pipeline.reporting import evidence_curves
        from pipeline.reporting.diagnosis_plot import epochs_that_decided
        from pipeline.reporting.style import WIDE

        decided = epochs_that_decided(self.diagnosis)
        return evidence_curves.plot(self.history, decided=decided, width=WIDE)

    def _text(self) -> str:
        import io

        from rich.console import Console

        from pipeline.reporting import diagnosis_text

        target = io.StringIO()
        console = Console(file=target, width=WIDTH, highlight=False, color_system=None)
        diagnosis_text.show(self.diagnosis, commands={}, console=console)
        return "\n".join(line.rstrip() for line in target.getvalue().splitlines())

    def _repr_html_(self) -> str:
        """Return picture and text for a notebook. One picture serves a dark page too."""
        from base64 import b64encode
        from html import escape

        from pipeline.reporting.style import png_bytes

        picture = b64encode(png_bytes(self.plot())).decode()
        name = escape(f"{self.diagnosis.name}: {self.diagnosis.in_words}", quote=True)
        return (
            f'<img alt="{name}" src="data:image/png;base64,{picture}" style="max-width: 100%">\n'
            f'<pre style="white-space: pre-wrap">{escape(str(self))}</pre>'
        )


def diagnose(
    curves: Any,
    *,
    num_classes: int | None = None,
    num_val: int | None = None,
    name: str | None = None,
) -> Judgement:
    """Judge the curves of any training.

    curves: a path of a log, a table, JSON or the folder of a run; a mapping of names to sequences;
    a pandas DataFrame; a list of mappings, one for each epoch; an object whose ``history`` is a
    mapping, as Keras' ``fit`` returns it; or a `History`. Names are read as those of files are, see
    docs/histories.md.
    num_classes, num_val: of the data, where they are known; the verdict is sharper with them.
    name: of the training, for the text.
    Raises `DataError` where there are no curves; the message says what was found.

    >>> diagnose({"loss": [2.3, 0.7, 0.2, 0.1], "val_loss": [1.9, 1.4, 1.9, 2.6]}).verdict
    'overfitting'
    """
    if isinstance(curves, History):
        history, line = _known(curves, num_classes, num_val), ""
    else:
        reading = read_log(_source(curves), num_classes=num_classes, num_val=num_val)
        history, line = reading.history, reading.line
    if name is not None:
        history = replace(history, name=name)
    return Judgement(judge(history), history, line)


def _known(history: History, num_classes: int | None, num_val: int | None) -> History:
    given: dict[str, Any] = {"num_classes": num_classes, "num_val": num_val}
    given = {key: value for key, value in given.items() if value is not None}
    context: Context = replace(history.context, **given)
    return replace(history, context=context)


def _source(curves: Any) -> Path | Mapping[str, Any]:
    """What the readers read: a path, or plain lists by name."""
    if isinstance(curves, str | Path):
        return expanded(curves)
    history = getattr(curves, "history", None)
    if isinstance(history, Mapping):
        return _lists(history)
    if isinstance(curves, Mapping):
        return _lists(curves)
    if hasattr(curves, "columns") and hasattr(curves, "__getitem__"):
        return _of_frame(curves)
    if isinstance(curves, Sequence) and all(isinstance(row, Mapping) for row in curves):
        return {"log_history": [dict(row) for row in curves]}
    raise DataError(f"{type(curves).__name__}: is nothing that curves are read from. {_WANTED}")


def _lists(curves: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(values) for name, values in curves.items()}


def _plain(values: Any) -> Any:
    """Lists for arrays, tensors, series and tuples; other values as they are."""
    if isinstance(values, Mapping):
        return _lists(values)
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, list | tuple | range):
        return [_plain(value) for value in values]
    return values


def _of_frame(frame: Any) -> dict[str, list[Any]]:
    """Columns as lists. A frame writes NaN where it has no number, so NaN is none."""
    columns = {str(name): frame[name] for name in frame.columns}
    index: Any = getattr(frame, "index", None)
    if getattr(index, "name", None) is not None:
        columns = {str(index.name): index, **columns}
    lists = {name: _plain(values) for name, values in columns.items()}
    if not lists:
        raise DataError(f"the DataFrame has no columns. {_WANTED}")
    # NaN alone differs from itself.
    return {name: [None if x != x else x for x in values] for name, values in lists.items()}
