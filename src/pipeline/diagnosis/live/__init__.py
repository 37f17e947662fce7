"""A verdict while a training goes on, with a bounded rate of false alarms over the whole run.

``judge`` looks at the curves after an epoch, with the model as arrays of ``fast``. ``limits`` says
from which probability on it speaks. ``growing`` reads a log that another program writes.
"""

from pipeline.diagnosis.live.judge import Alarm, LiveJudge

__all__ = ["Alarm", "LiveJudge"]
