"""`launch.tpu_watch`: a slice is kept going until its workers are done."""

import subprocess
import sys

import pytest

from launch import gcloud, tpu_slice, tpu_watch
from tests.fake_cloud import LOST, PLAN, QUOTA, SWEEP, watch


def test_a_slice_is_asked_for_installed_started_and_watched(cloud):
  cloud.play(
    *("CREATING", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"), workers=2
  )
  told = watch()
  assert cloud.verbs() == ["create", "install", "start"]
  assert told[:4] == [
    "asking for v5litepod-8 in us-west4-a",
    "tpu is being made",
    "tpu waits in the queue, as nothing is free",
    "tpu gets its machines",
  ]
  assert told[-1] == "0 of 2 workers train, 2 are done"
  home = cloud.folder / "worker-1" / "emergence"
  assert (home / "changed.txt").read_text() == "new\n"
  assert (home / ".launch" / "log").read_text() == "training\n"
  common = ["-m", "experiments.sweep", *SWEEP]
  sweeps = "\n".join(cloud.sweeps())
  for worker in (0, 1):
    words = ["01,1,1", *common, f"--shard={worker}/2"]
    assert "\n".join(words) in sweeps


@pytest.mark.slow
def test_the_same_command_asks_the_sweep_whether_anything_is_left(cloud):
  cloud.end_sweeps_with(2)
  with pytest.raises(gcloud.Refusal):
    watch()
  for number in (2, 3):
    assert watch()[-1] == "0 of 1 workers train, 1 are done"
    assert cloud.sweeps().count("-m") == number
  assert cloud.verbs() == ["create", "install", "start"]


@pytest.mark.slow
def test_a_worker_that_trains_is_watched_by_who_comes_later(cloud):
  watch()
  cloud.end_sweeps_with("wait")
  tpu_slice.start(PLAN._replace(sweep=("--config=other",)), 1)
  told, plan = [], PLAN._replace(sweep=("--config=other",))

  def tell(text):
    told.append(text)
    if len(told) == 2:
      gcloud.call(tpu_slice.stop(PLAN))

  tpu_watch.watch(plan, 0.05, tell)
  assert told[:2] == 2 * ["1 of 1 workers train, 0 are done"]


def test_a_slice_of_one_host_is_left_as_it_is(cloud):
  watch()
  assert cloud.sweeps()[0] == ""
  assert cloud.sweeps()[-1] == "--shard=0/1"


def test_one_program_over_all_workers_has_no_shards(cloud):
  cloud.play(workers=2)
  watch(PLAN._replace(shards=False))
  assert cloud.sweeps() == 2 * ["", "-m", "experiments.sweep", *SWEEP]


def test_a_slice_that_was_preempted_is_asked_for_anew_and_goes_on(cloud):
  cloud.play("ACTIVE", "ACTIVE", "SUSPENDING", "SUSPENDED", "ACTIVE")
  cloud.end_sweeps_with(75, 75)
  told = watch()
  assert cloud.verbs()[:3] == ["create", "install", "start"]
  assert cloud.verbs().count("delete") == 1
  after = cloud.verbs()[cloud.verbs().index("delete") :]
  assert after == ["delete", "create", "install", "start"]
  assert "tpu was preempted; asking anew" in told


def test_a_worker_that_was_stopped_or_killed_is_started_again(cloud):
  cloud.end_sweeps_with(75, 137, 1, 0)
  watch()
  assert cloud.sweeps().count("-m") == 4


def test_a_worker_that_ends_soon_again_and_again_ends_the_watch(cloud):
  cloud.end_sweeps_with(1, 75, 1, 134, 134, 0)
  expected = r"ended 4 times within 2 hours, at last: exit 134; see --do=log"
  with pytest.raises(gcloud.Refusal, match=expected):
    watch()
  assert cloud.sweeps().count("-m") == 5


@pytest.mark.slow
def test_a_worker_that_ends_now_and_then_is_started_again(cloud, monkeypatch):
  monkeypatch.setattr(tpu_watch, "_END_SECONDS", 0.0)
  cloud.end_sweeps_with(1, 1, 1, 1, 0)
  watch()
  assert cloud.sweeps().count("-m") == 5


def test_those_who_train_one_program_are_started_together(cloud):
  cloud.play(workers=2)
  cloud.end_sweeps_with("wait", 1)
  told = watch(PLAN._replace(shards=False))
  assert "1 of 2 workers train one program; stopping them" in told
  assert cloud.sweeps().count("-m") == 4


@pytest.mark.slow
def test_who_was_done_with_one_program_takes_part_again(cloud):
  cloud.play(workers=2)
  cloud.end_sweeps_with(0, 1)
  watch(PLAN._replace(shards=False))
  assert cloud.sweeps().count("-m") == 4


def test_a_worker_that_ended_with_an_error_ends_the_watch(cloud):
  cloud.end_sweeps_with(2)
  with pytest.raises(
    gcloud.Refusal, match=r"worker 0 .* exit code 2; see --do"
  ):
    watch()


def test_a_worker_that_trains_something_else_is_left_alone(cloud):
  cloud.play()
  watch()
  left = cloud.folder / "worker-0" / "emergence" / ".launch"
  with subprocess.Popen(
    [sys.executable, "-c", "input()", "launch.tpu_worker"],
    stdin=subprocess.PIPE,
  ) as other:
    (left / "pid").write_text(str(other.pid))
    (left / "task").write_text("other")
    with pytest.raises(gcloud.Refusal, match="trains something else"):
      watch()
    assert other.poll() is None
    other.communicate(b"\n")


def test_stockout_is_waited_for_and_asked_again(cloud):
  error = {"code": 8, "message": "There is no more capacity in the zone"}
  failed = {"state": "FAILED", "failedData": {"error": error}}
  cloud.play("WAITING_FOR_RESOURCES", failed, "ACTIVE")
  told = watch()
  assert (
    "tpu failed: There is no more capacity in the zone; asking anew" in told
  )
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


@pytest.mark.parametrize("when", ["asked", "later"])
def test_a_quota_that_is_used_up_ends_it(cloud, when):
  if when == "asked":
    text = f"ERROR: (gcloud.compute.tpus.queued-resources.create) {QUOTA}"
    cloud.play(failures=[{"in": "create", "stderr": text}])
  else:
    failed = {"state": "FAILED", "failedData": {"error": {"message": QUOTA}}}
    cloud.play(failed)
  with pytest.raises(gcloud.Refusal, match=r"^quota: Quota limit .*; ask for"):
    watch()
  assert cloud.verbs() == ["create"]


def test_a_worker_that_does_not_answer_for_a_moment_is_asked_again(cloud):
  cloud.play(failures=[{"in": "tpu_worker state", "stderr": LOST, "times": 2}])
  told = watch()
  assert any("a worker does not answer" in text for text in told)
  assert cloud.verbs() == ["create", "install", "start"]


def test_a_worker_that_is_lost_while_others_answer_costs_the_slice(cloud):
  lost = {"in": "tpu_worker state", "stderr": LOST, "times": 3}
  cloud.play(workers=2, failures=[lost | {"stdout": "worker 0 running"}])
  told = watch()
  assert any("1 of 2 workers of tpu do not answer" in text for text in told)
  assert "tpu has lost a worker; asking for another slice" in told
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


def test_vms_that_are_gone_cost_the_slice(cloud):
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 3}])
  watch()
  assert cloud.verbs() == ["create", "delete", "create", "install", "start"]


@pytest.mark.slow
def test_slice_after_slice_is_not_given_up_for_ever(cloud):
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 99}])
  with pytest.raises(gcloud.NotFound, match="no such node"):
    watch()
  assert cloud.verbs() == 2 * ["create", "delete"] + ["create"]


def test_a_slice_none_of_whose_workers_answers_is_left_alone(cloud):
  failure = {"in": "tpu_worker state", "stderr": LOST, "times": 99}
  cloud.play(workers=2, failures=[failure])
  with pytest.raises(gcloud.Failure, match=r"left as it is.*until --do=delete"):
    watch()
  assert cloud.verbs() == ["create"]


@pytest.mark.slow
def test_a_slice_is_given_time_before_it_is_given_up(cloud, monkeypatch):
  monkeypatch.setattr(tpu_watch, "_PATIENCE_SECONDS", 9e9)
  text = "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such node"
  cloud.play(failures=[{"in": "tpu-vm describe", "stderr": text, "times": 7}])
  watch()
  assert cloud.verbs() == ["create", "install", "start"]


def test_failures_that_do_not_end_do(cloud):
  text = "ERROR: (gcloud) UNAVAILABLE: The service is currently unavailable."
  cloud.play(failures=[{"in": "describe", "stderr": text, "times": 99}])
  with pytest.raises(gcloud.Failure, match="UNAVAILABLE"):
    watch()
  assert len(cloud.calls()) == 6
