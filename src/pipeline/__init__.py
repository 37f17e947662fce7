"""An experiment pipeline that says why a model is not better, and proves the remedy.

    import pipeline
    print(pipeline.diagnose("training.csv"))

Nothing but the standard library is imported before `diagnose` is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import Judgement, diagnose

__all__ = ["Judgement", "diagnose"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from pipeline import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
