"""Analyzes a work directory and writes its report.

  python -m experiments.report --workdir=DIR

Leaves DIR/report.html, one file that opens in any browser, its figures as PNG
and SVG in DIR/figures, and the tables of experiments.analyze. Prints the table
of cells and the answer in one sentence. A sweep that is not finished can be
reported too.
"""

from absl import flags
from etils import epath

from emergence import tables
from emergence.analysis import output, questions
from emergence.report import analysis_sections, answer, sweep_sections
from emergence.report.page import write_page
from emergence.statistics.options import Options
from experiments import command

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Work directory of a sweep, local or gs://.", required=True
)
_LOG_SCALE = flags.DEFINE_bool(
  "log_scale",
  False,
  "Fit the curve of the success probability on the logarithm of the scale"
  " instead of its rank.",
)
_JSON = flags.DEFINE_string(
  "json",
  None,
  "File to write the table of cells to, with the columns of summary.csv, which"
  " emergence/statistics/README.md defines.",
)


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError("--workdir is empty")
  command.require_writable(_JSON.value)
  workdir = epath.Path(_WORKDIR.value)
  sweep = sweep_sections.read(workdir)
  analysis = questions.analyze(
    tables.read(workdir), Options(log_scale=_LOG_SCALE.value)
  )
  output.write_files(workdir, output.files(analysis))
  page = write_page(
    workdir,
    sweep_sections.title(sweep),
    answer.sentence(analysis),
    f"{analysis_sections.about(analysis)} {sweep_sections.say_status(sweep)}",
    [
      *analysis_sections.sections(analysis),
      *sweep_sections.sections(sweep),
      analysis_sections.audit_section(analysis),
      *sweep_sections.provenance(sweep),
    ],
  )
  print(answer.text(analysis))
  print(f"report  {page}")
  command.write_json(_JSON.value, output.plain(output.summary(analysis)))


if __name__ == "__main__":
  command.run(main)
