"""QM9's raw forms (official archive, SDF, compact .npz) read into one flat record.

Here belong the readers, what they check, and the way from flat arrays to PyG's
layout; downloading and the dataset class do not.
"""
