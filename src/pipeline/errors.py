"""The exceptions that a person may meet: one small tree, each with its exit code.

A message of this tree stands alone: it names the value, the rule and the way out.
The command line prints it in one piece, without a traceback.
"""


class PipelineError(Exception):
    """Something a person can mend; the base of all errors this package raises on purpose."""

    exit_code = 1


class ConfigError(PipelineError):
    """A setting is unknown, of the wrong type, out of range, or without effect."""

    exit_code = 2


class DataError(PipelineError):
    """Data that is missing, malformed, or not what its checksum promises."""


class SourceError(DataError):
    """No source could deliver a file; the message lists what each one answered."""


class SourceDown(SourceError):
    """A source as a whole does not answer; asking it for further files is pointless."""


class ModelError(PipelineError):
    """A saved model that is missing, damaged, or does not fit its description."""


class TrainingError(PipelineError):
    """Training cannot go on: a loss that is not finite, or a checkpoint that does not fit."""


class TrackingError(PipelineError):
    """The record of runs cannot be reached or written."""


class SweepError(PipelineError):
    """A sweep that cannot begin or go on: its storage, or too many failed trials."""


class SpaceError(ConfigError, SweepError):
    """A sweep's settings or overrides are wrong."""
