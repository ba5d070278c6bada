"""What the long examples share: training with Lightning, and writing results.

Nothing here knows a task, a model or a data set.
"""

from .fit import Fitted, Loss, Task, fit
from .report import Report, draw_curves, open_folder, save_figure

__all__ = [
    "Fitted",
    "Loss",
    "Report",
    "Task",
    "draw_curves",
    "fit",
    "open_folder",
    "save_figure",
]
