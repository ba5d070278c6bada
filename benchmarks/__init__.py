"""Benchmarks: paired ratios on a fixed set of ragged batches.

``python -m benchmarks`` runs every ``bench_*.py``; each offers ``run(quick)``, which
gives tables one by one. What they share is in ``batches``, ``timing`` and ``tables``.
"""
