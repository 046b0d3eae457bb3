"""Processes of a machine, here of bash."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from launch import workers


def bash(script: str, cores=None, **environment) -> workers.Worker:
  return workers.Worker(["bash", "-c", script], environment, cores)


def run(tmp_path, *scripts: str) -> workers.Outcome:
  return workers.run([bash(script) for script in scripts], tmp_path / "logs")


def wait_for(name: str | pathlib.Path) -> str:
  """Bash that waits until a file is there."""
  return f"while [ ! -e {name} ]; do sleep 0.01; done"


def test_each_worker_has_a_log_that_is_appended_to(tmp_path, capfd):
  for _ in range(2):
    outcome = run(tmp_path, "echo one; echo two >&2", "echo other")
    assert outcome == workers.Outcome(None, 0, 0)
  logs = tmp_path / "logs"
  assert (logs / "worker-0.log").read_text() == "one\ntwo\n" * 2
  assert (logs / "worker-1.log").read_text() == "other\n" * 2
  assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(
  not hasattr(os, "sched_setaffinity"), reason="no affinity on this system"
)
def test_a_worker_has_its_cores_and_variables_and_we_keep_ours(tmp_path):
  before = os.sched_getaffinity(0)
  core = max(before)
  code = "import os; print(os.sched_getaffinity(0), os.environ['PLACE'])"
  worker = workers.Worker(
    [sys.executable, "-c", code], {"PLACE": "here"}, frozenset({core})
  )
  workers.run([worker], tmp_path)
  assert (tmp_path / "worker-0.log").read_text() == f"{{{core}}} here\n"
  assert os.sched_getaffinity(0) == before


def test_a_failure_is_told_by_its_last_line_once_and_others_end(
  tmp_path, capfd
):
  told, ended = tmp_path / "told", tmp_path / "ended"
  outcome = workers.run(
    [
      bash("echo working; printf 'error: no space left\\n\\n' >&2; exit 3"),
      bash(f"{wait_for(told)}; touch {ended}"),
    ],
    tmp_path / "logs",
    lambda running: told.touch() if running == 1 else None,
  )
  assert outcome == workers.Outcome(None, 3, 0)
  assert ended.exists()
  assert capfd.readouterr().err == (
    "worker 0 failed with exit code 3: error: no space left; the others take"
    f" its blocks over ({tmp_path}/logs/worker-0.log)\n"
  )


def test_what_an_earlier_run_said_is_not_taken_for_a_reason(tmp_path, capfd):
  run(tmp_path, "echo earlier")
  assert run(tmp_path, "exit 1").code == 1
  assert "exit code 1: it said nothing (" in capfd.readouterr().err


@pytest.mark.parametrize(
  ("script", "told"),
  [
    ("kill -KILL $$", "worker 0 was killed by SIGKILL, as when memory runs"),
    ("kill -40 $$", "worker 0 was killed by signal 40"),
    ("exit 75", "worker 0 was stopped by a signal"),
  ],
)
def test_a_worker_that_is_cut_short_leaves_work(tmp_path, capfd, script, told):
  assert run(tmp_path, script, "true") == workers.Outcome(None, 0, 1)
  assert told in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_end_waited_for(tmp_path, capfd, number):
  saves = "trap 'sleep 0.2; echo saved; exit 75' TERM; touch ready$0; " + (
    "while true; do sleep 0.01; done"
  )
  scripts = [saves.replace("$0", str(i)) for i in range(2)]
  # Of the processes in a session of their own the terminal tells none.
  kills = f"{wait_for('ready0')}; {wait_for('ready1')}; kill -{number} $PPID"
  handlers = [signal.getsignal(x) for x in (signal.SIGTERM, signal.SIGINT)]
  here = os.getcwd()
  os.chdir(tmp_path)
  try:
    outcome = run(tmp_path, *scripts, kills)
  finally:
    os.chdir(here)
  assert outcome == workers.Outcome(number, 0, 0)
  for i in range(2):
    assert (tmp_path / "logs" / f"worker-{i}.log").read_text() == "saved\n"
  assert capfd.readouterr().err == ""
  assert handlers == [
    signal.getsignal(x) for x in (signal.SIGTERM, signal.SIGINT)
  ]


def test_a_second_ctrl_c_reaches_who_is_still_saving(tmp_path):
  code = """
import os, signal, sys, time
def hurry(number, frame):
  print("hurried")
  sys.exit(75)
signal.signal(signal.SIGINT, hurry)
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))
os.kill(os.getppid(), signal.SIGINT)
while True: time.sleep(0.01)
"""
  worker = workers.Worker([sys.executable, "-c", code], {}, None)
  assert workers.run([worker], tmp_path).signal == signal.SIGINT
  assert (tmp_path / "worker-0.log").read_text() == "hurried\n"


def test_a_worker_that_cannot_start_stops_those_that_have(
  tmp_path, monkeypatch
):
  started = []

  class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
      super().__init__(*args, **kwargs)
      started.append(self)

  monkeypatch.setattr(subprocess, "Popen", Popen)
  missing = workers.Worker(["/no/such/program"], {}, None)
  with pytest.raises(FileNotFoundError, match="/no/such/program"):
    workers.run([bash("exec sleep 100"), missing], tmp_path)
  assert [process.returncode for process in started] == [-signal.SIGTERM]


def test_the_last_line_is_what_stands_there_at_the_end(tmp_path):
  log = tmp_path / "log"
  log.write_text("first\nprogress 1\rprogress 2\n\n  \n")
  assert workers.last_line(log) == "progress 2"
  assert workers.last_line(log, log.stat().st_size) == ""
  assert workers.last_line(pathlib.Path("/no/such/log")) == ""
