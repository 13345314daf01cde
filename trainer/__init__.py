"""Fits the models, measures them, and exports them as bundles that can be served."""
