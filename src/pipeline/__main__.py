"""``python -m pipeline`` is the same as ``pipeline``."""

from pipeline.cli import run

if __name__ == "__main__":
    run()
