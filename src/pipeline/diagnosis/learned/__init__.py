"""A verdict from curves alone: numbers of a curve's shape → a model fitted on a corpus → words.

``numbers`` measures a curve without a scale; ``model`` turns the numbers into probabilities with
the weights of ``weights.json``; ``sentences`` says in words what a number means.
"""
