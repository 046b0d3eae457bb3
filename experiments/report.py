"""Analyzes a work directory and writes its report.

  python -m experiments.report --workdir=DIR

Leaves DIR/report.html, one file that opens in any browser, its figures as PNG
and SVG in DIR/figures, and the tables of experiments.analyze. A sweep that is
not finished can be reported too.
"""

import time

from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import compute, findings, output, rows
from emergence.report import pages, sections
from emergence.report.page import write_page
from experiments import command

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory of a sweep, local or gs://.", required=True
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the table of cells to, with the keys of"
  " emergence.analysis.rows.SUMMARY_COLUMNS.",
)


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError("--workdir is empty")
  command.require_writable(_JSON.value)
  start = time.monotonic()
  workdir = epath.Path(_WORKDIR.value)
  sweep = sections.read(workdir)
  analysis = compute.analyze(tables.read(workdir))
  statements = findings.findings(analysis)
  output.write_files(workdir, output.files(analysis, statements))
  page = write_page(
    workdir,
    sections.title(sweep),
    sections.introduction(sweep),
    [
      *sections.opening(sweep),
      *pages.sections(analysis, statements),
      *sections.closing(sweep),
      pages.audit(analysis),
    ],
  )
  for statement in pages.main_statements(analysis, statements):
    print(f"- {statement.sentence}")
  print(f"analyzed in {time.monotonic() - start:.1f} s")
  print(f"tables  {workdir}\nfigures {workdir / 'figures'}\nreport  {page}")
  command.write_json(_JSON.value, rows.plain(rows.summary(analysis)))


if __name__ == "__main__":
  command.run(main)
