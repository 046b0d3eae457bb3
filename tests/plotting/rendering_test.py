from etils import epath

from emergence.plotting import drawing, rendering
from emergence.plotting.drawing import Line


def test_a_figure_is_written_only_where_it_changes(tmp_path):
  figure = drawing.by_scale(
    {"t": [Line("a", [1, 2], [0.1, 0.2])]}, "x", {1.0: "1", 2.0: "2"}
  )
  path = epath.Path(tmp_path / "new" / "figure.png")
  rendering.save(figure, path)
  files = sorted((tmp_path / "new").iterdir())
  assert [file.name for file in files] == ["figure.png", "figure.svg"]
  times = [file.stat().st_mtime_ns for file in files]
  rendering.save(figure, path)
  assert [file.stat().st_mtime_ns for file in files] == times
