"""The exceptions that a person may meet: one small tree, each with its exit code.

A message of this tree stands alone: it names the value, the rule and the way out.
The command line prints it in one piece, without a traceback.
"""

from pipeline.passwords import masked


class PipelineError(Exception):
    """The base of all errors that this package raises on purpose; a person can mend them.

    A message shows no password of an address that it names.
    """

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*(masked(part) if isinstance(part, str) else part for part in parts))


class ConfigError(PipelineError):
    """A setting is unknown, of the wrong type, out of range, or without effect."""

    exit_code = 2


class DataError(PipelineError):
    """Data that is missing, malformed, or does not match its checksum."""


class SourceError(DataError):
    """No source could deliver a file; the message lists the answer of each."""


class SourceDown(SourceError):
    """A source does not answer at all, so asking it for further files is pointless."""


class DiskError(PipelineError):
    """The disk has too little room for what will be written, or a file may not be so large."""


class ModelError(PipelineError):
    """A saved model that is missing, damaged, or does not fit its description."""


class TrainingError(PipelineError):
    """Training cannot continue: a loss is not finite, or a checkpoint does not fit."""


class CommandError(PipelineError):
    """A command of a person's own fails, or gives no number that can be judged."""


class ForeignCodeError(PipelineError):
    """A person's own class has raised an error while it was built or used."""


class TrackingError(PipelineError):
    """The record of runs cannot be reached or written."""


class SweepError(PipelineError):
    """A sweep cannot start or continue: its storage fails, or too many trials do."""


class NoTrialCompleted(SweepError):
    """A sweep ended, but none of its trials did: each one failed or was pruned."""


class SpaceError(ConfigError, SweepError):
    """A sweep's settings or overrides are wrong."""
