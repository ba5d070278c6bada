"""Training and comparing: Lightning modules, the ``compare`` command, its reports.

Here belong the only imports of Lightning, and what is seen of a comparison: tables,
pictures, files. Networks are in ``models``, data sets in ``datasets``. Everything
here needs ``pip install 'pyg-setops[train]'``.
"""
