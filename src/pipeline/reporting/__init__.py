"""Drawing only: records in, figures and one HTML page out. Each plot has a ``plot(…)``."""
