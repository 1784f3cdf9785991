"""The notebook of docs/ runs, and shows what it makes."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"


def shown(cell):
    """What a cell shows as HTML and as text; an error or warning on stderr is a text, too."""
    html = "".join(output["data"].get("text/html", "") for output in cell.outputs if "data" in output)
    text = "".join(output["data"]["text/plain"] for output in cell.outputs if "data" in output)
    return html, text + "".join(output.get("text", "") for output in cell.outputs)


def test_notebook_runs_and_its_model_rendering_and_run_show_themselves(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")  # outputs are not committed
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    model, rendering, recording, _, run, exported = cells
    assert "<td>gru-M-tones</td>" in model[0]
    assert rendering[0].count("<audio ") == rendering[0].count("<img ") == 1
    assert "<audio " in recording[0]
    assert "<td>3</td>" in run[0]
    assert run[0].count("<audio ") == 3
    assert "multi-scale spectral distance" in run[0]
    assert "data:image/png" in run[0]
    assert "512 samples for 8 frames" in exported[1]
    said = "".join(text for _, text in cells).replace("TqdmWarning", "")  # tqdm's, where ipywidgets is missing
    assert "Warning" not in said
    assert max(len(html) for html, _ in cells) < 400_000
