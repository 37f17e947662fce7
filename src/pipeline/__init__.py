"""An experiment pipeline that says why a model is not better, and proves the remedy."""
