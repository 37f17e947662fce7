"""Drawing only: records in, figures and one HTML page out. Each plot is a module with ``plot(…)``."""
