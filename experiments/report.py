"""Draws the figures of a work directory and writes its report.

  python -m experiments.report --workdir=DIR

Leaves DIR/report.html, one file that opens in any browser, and the figures as
PNG and SVG in DIR/figures. A sweep that is not finished can be reported too.
"""

from absl import flags
from etils import epath

from emergence import report, sections
from experiments import command

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory of a sweep, local or gs://.", required=True
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the table of cells to, with the keys of"
  " emergence.statistics.summary.summarize.",
)


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError("--workdir is empty")
  command.require_writable(_JSON.value)
  workdir = epath.Path(_WORKDIR.value)
  findings = sections.read(workdir)
  page = report.write(
    workdir,
    sections.title(findings),
    sections.introduction(findings),
    sections.sections(findings),
  )
  print(f"figures {workdir / 'figures'}\nreport  {page}")
  command.write_json(_JSON.value, findings.rows)


if __name__ == "__main__":
  command.run(main)
