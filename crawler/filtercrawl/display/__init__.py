"""What people see of a run in a terminal or a notebook: progress bars and tables of reports."""

from filtercrawl.display.html import html_table
from filtercrawl.display.notebook_progress import NotebookProgressBar
from filtercrawl.display.progress_bar import ProgressBar
from filtercrawl.display.session import is_interactive, is_notebook, open_progress

__all__ = ["NotebookProgressBar", "ProgressBar", "html_table", "is_interactive", "is_notebook", "open_progress"]
