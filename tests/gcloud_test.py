"""`launch.gcloud`: what it may be called with, and what its errors mean."""

import shutil
import textwrap

import pytest

from launch import gcloud
from tests.fake_cloud import LOST, QUOTA, TPU, watch
from tests.gcloud_reference import require_in_reference


# What a worker says, and what gcloud does.
@pytest.mark.parametrize(
  ("kind", "code", "stderr"),
  [
    (gcloud.Failure, 1, "pip-9.whl was not found in the package registry"),
    (gcloud.Failure, 1, "OSError: [Errno 122] Disk quota exceeded"),
    (gcloud.Failure, 2, "error: Failed to fetch: HTTPError 404"),
    (
      gcloud.Failure,
      1,
      "Retrying: [/usr/bin/ssh] exited with return code [255]",
    ),
    (gcloud.Failure, 1, "google.api PERMISSION_DENIED: storage.objects.create"),
    (gcloud.LostWorker, 255, "CommandError: exited with return code [255]."),
    (gcloud.LostWorker, 1, LOST),
    (gcloud.NotFound, 1, "ERROR: (gcloud.compute) NOT_FOUND: no such node"),
    (gcloud.Refusal, 2, "ERROR: (gcloud.compute) unrecognized arguments: --x"),
    (gcloud.Refusal, 1, f"ERROR: (gcloud.compute) {QUOTA}"),
  ],
)
def test_only_what_gcloud_says_is_of_the_slice(kind, code, stderr):
  error = gcloud.to_error(gcloud.ssh(TPU, "uv pip install"), code, stderr)
  assert type(error) is kind


def test_whoever_is_not_logged_in_is_told_how(cloud):
  text = textwrap.dedent("""\
    ERROR: (gcloud.compute.tpus.queued-resources.describe) You do not currently have an active account selected.
    Please run:

      $ gcloud auth login

    to obtain new credentials.""")  # noqa: E501
  cloud.play(failures=[{"in": "describe", "stderr": text}])
  with pytest.raises(gcloud.Refusal, match="run gcloud auth login: You do not"):
    watch()


def test_whoever_has_no_key_in_the_agent_is_told_how(cloud):
  text = (
    "ERROR: (gcloud.compute.tpus.tpu-vm.ssh) SSH Key is not present in the SSH"
    ' agent. Please run "ssh-add /home/me/.ssh/google_compute_engine" to add'
    " it, and try again."
  )
  cloud.play(failures=[{"in": "tpu_worker state", "stderr": text}])
  with pytest.raises(gcloud.Refusal, match=r"ssh-agent: .*ssh-add /home/me"):
    watch()


def test_without_gcloud_there_is_one_line(cloud, monkeypatch):
  alone = cloud.folder / "alone"
  alone.mkdir()
  (alone / "git").symlink_to(shutil.which("git"))
  monkeypatch.setenv("PATH", str(alone))
  with pytest.raises(gcloud.Refusal, match="gcloud is not installed"):
    watch()


def test_gcloud_knows_what_the_stand_in_was_called_with(cloud):
  cloud.play("ACTIVE", "SUSPENDED", "ACTIVE")
  watch()
  for command in cloud.calls():
    require_in_reference(command)


def test_a_flag_that_gcloud_does_not_know_is_found():
  with pytest.raises(AssertionError, match="has no --batch-size"):
    require_in_reference([*gcloud.ssh(TPU, "ls"), "--batch-size=4"])
  with pytest.raises(AssertionError, match="--spot of"):
    require_in_reference(
      [*gcloud.delete(TPU)[:3], "queued-resources"]
      + ["create", "x", "--spot=yes"]
    )
