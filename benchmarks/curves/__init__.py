"""A corpus of training curves with known faults, and the model of evidence that is fitted to it.

`datasets`, `networks`, `stacked` train hundreds of small networks at once; `cases` says what is
planted; `oracle` says what was true; `make` runs it all; `dress` shows curves as tools log them;
`fit` fits the weights that `pipeline diagnose` reads, and `judge` judges them on unseen families.
"""
