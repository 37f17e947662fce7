"""Other people's histories: files and folders of curves, whatever framework has written them."""

from pipeline.diagnosis.readers.curves import read_curves
from pipeline.diagnosis.readers.event_files import read_event_files
from pipeline.diagnosis.readers.series import history_of

__all__ = ["history_of", "read_curves", "read_event_files"]
