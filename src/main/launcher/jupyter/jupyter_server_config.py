"""After each save: git learns that a notebook which was only run again has not changed (see committed_notebook.py)."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import committed_notebook  # noqa: E402  the launcher's folder is known from here on


def saved(model, os_path, contents_manager, **_):
    """A save must never fail for want of git."""
    if model["type"] == "notebook":
        committed_notebook.settle(os_path)


c = get_config()  # noqa: F821  Jupyter gives it to its configuration files
c.FileContentsManager.post_save_hook = saved
