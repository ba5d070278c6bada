"""Learnable set functions for PyTorch Geometric, on ragged batches."""

__version__ = "0.1.0"
