"""What the long examples share: training with Lightning, and writing results.

Nothing here knows a task, a model or a data set.
"""

from .fit import Fitted, Task, fit
from .report import Report, open_folder, save_figure

__all__ = ["Fitted", "Report", "Task", "fit", "open_folder", "save_figure"]
