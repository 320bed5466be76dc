"""What git keeps of a notebook: outputs as ./jqlora notebooks wrote them, not those of whoever ran it last.

usage: committed_notebook.py clean PATH      git's filter: the notebook as it lies on standard input, as it is kept on standard output
       committed_notebook.py restore PATH ...   puts back the outputs that git keeps; changed cells stay as they are
A notebook that ./jqlora notebooks wrote carries a mark of its outputs. Where the mark fits, or a cell was changed, git keeps what lies
there; where cells were only run again, git keeps what it had. Needs nothing but Python and git.
"""
import hashlib
import json
import os
import subprocess
import sys


def mark(notebook):
    """A number that changes with any output of the notebook, whatever program has saved it."""
    parts = [[_joined(output) for output in cell.get("outputs", [])] + [cell.get("execution_count")] for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def _joined(value):
    """Texts of several lines are lists of lines in a file, and one string elsewhere."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(each) for key, each in value.items()}
    return [_joined(each) for each in value] if isinstance(value, list) else value


def is_marked(notebook):
    return notebook["metadata"].get("jqlora", {}).get("outputs") == mark(notebook)


def written(cell):
    """What a person writes of a cell."""
    return cell.get("id"), cell["cell_type"], _joined(cell["source"]), cell.get("metadata", {})


def kept(path):
    """The bytes that git's index has of a file, or None."""
    shown = subprocess.run(["git", "show", ":./" + os.path.basename(path)], cwd=os.path.dirname(path) or ".", capture_output=True)
    return shown.stdout if shown.returncode == 0 else None


def cleaned(content, before):
    """The bytes that git keeps of ``content``, where it has ``before`` so far."""
    try:
        notebook = json.loads(content)
        if before is None or is_marked(notebook):
            return content
        same = [written(cell) for cell in notebook["cells"]] == [written(cell) for cell in json.loads(before)["cells"]]
        return before if same else content
    except (ValueError, KeyError, TypeError, AttributeError):          # not a notebook that we understand
        return content


def settle(path):
    """Tells git's index that the file has not changed where its filter says so: git status goes by the size otherwise. Whether it did."""
    folder, name = os.path.dirname(os.path.abspath(path)), os.path.basename(path)

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)

    try:
        filtered, index = git("hash-object", "--path", name, name), git("rev-parse", "--verify", "--quiet", ":./" + name)
    except OSError:                                                    # there is no git
        return False
    if filtered.returncode != 0 or index.returncode != 0 or filtered.stdout != index.stdout:
        return False
    return git("add", "--", name).returncode == 0                      # nothing is staged: what it would stage is there already


def restored(content, before):
    """``content`` with the outputs of ``before`` in every cell that is the same in both, and the number of cells that are not."""
    notebook, old = json.loads(content), json.loads(before)
    known = {json.dumps(written(cell), sort_keys=True): cell for cell in old["cells"]}
    changed = 0
    for cell in notebook["cells"]:
        same = known.get(json.dumps(written(cell), sort_keys=True))
        changed += same is None
        if same is not None and cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = same["outputs"], same["execution_count"]
    if not changed and len(notebook["cells"]) == len(old["cells"]):
        return before, 0
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode(), changed


def restore(paths):
    status = 0
    for path in paths:
        before = kept(path)
        if before is None:
            print(f"{path}: git has no version of it; git add it first", file=sys.stderr)
            status = 1
            continue
        with open(path, "rb") as file:
            content = file.read()
        try:
            content, changed = restored(content, before)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            print(f"{path} is no notebook that can be read ({reason}); git checkout -- {path} brings back the kept one", file=sys.stderr)
            status = 1
            continue
        with open(path, "wb") as file:
            file.write(content)
        print(f"restored: {path}" + (f"; {changed} changed cells stay as they are" if changed else ""))
    return status


def main(action, *paths):
    if action == "restore":
        return restore(paths)
    sys.stdout.buffer.write(cleaned(sys.stdin.buffer.read(), kept(paths[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
