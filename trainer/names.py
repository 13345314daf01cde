"""The models that there are."""

from typing import Final

MODELS: Final = ("mlp", "svm-linear", "svm-poly", "svm-rbf", "svm-sigmoid")
