"""Other people's histories: files, folders and output of any framework → a `Reading`."""

from pipeline.diagnosis.readers.logs import read_log
from pipeline.diagnosis.readers.reading import Reading
from pipeline.diagnosis.readers.series import history_of, reading_of

__all__ = ["Reading", "history_of", "read_log", "reading_of"]
