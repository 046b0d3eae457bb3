"""`launch.tpu_slice`: its workers counted, and what is installed on them."""

import subprocess

import pytest

from launch import gcloud, tpu_slice
from launch.tpu_slice import ConfigFile
from tests.fake_cloud import PLAN, install, watch


@pytest.mark.parametrize(
  ("accelerator_type", "hosts"),
  [
    ("v5litepod-1", 1),
    ("v5litepod-8", 1),
    ("v5litepod-16", 4),
    ("v6e-256", 64),
    ("v4-8", 1),
    ("v4-32", 4),
    ("v3-8", 1),
    ("v5p-128", 16),
  ],
)
def test_hosts_are_counted(accelerator_type, hosts):
  assert tpu_slice.num_hosts(accelerator_type) == hosts
  assert tpu_slice.runtime_version(accelerator_type)


def test_a_tree_that_git_does_not_know_costs_no_slice(
  cloud, tmp_path, monkeypatch
):
  monkeypatch.setattr(tpu_slice, "TREE", tmp_path)
  with pytest.raises(ValueError, match="give --git_url"):
    watch()
  assert cloud.calls() == []


def test_a_shallow_clone_costs_no_slice(cloud, monkeypatch):
  tree, shallow = tpu_slice.TREE, cloud.folder / "shallow"
  for words in (
    ["-C", tree, "commit", "-q", "--allow-empty", "-m", "y"],
    ["clone", "-q", "--depth=1", f"file://{tree}", shallow],
  ):
    identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", *identity, *words], check=True)
  monkeypatch.setattr(tpu_slice, "TREE", shallow)
  with pytest.raises(ValueError, match="git fetch --unshallow"):
    watch()
  assert cloud.calls() == []


def test_what_was_installed_with_new_files_is_replaced(cloud):
  git = ["git", "-C", str(tpu_slice.TREE)]
  new = tpu_slice.TREE / "new.txt"
  new.write_text("1\n")
  subprocess.run([*git, "add", "new.txt"], check=True)
  gcloud.call(tpu_slice.create(PLAN))
  install()
  new.write_text("2\n")
  install()
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / "new.txt").read_text() == "2\n"
  subprocess.run([*git, "rm", "-q", "-f", "--cached", "new.txt"], check=True)
  install()
  assert not (home / "new.txt").exists()
  assert (home / ".venv" / "bin" / "python").exists()
  assert (home / ".launch" / "installed").exists()


def test_source_from_a_url_is_installed(cloud):
  gcloud.call(tpu_slice.create(PLAN))
  url = f"file://{tpu_slice.TREE}"
  install(PLAN._replace(git_url=url, git_ref="HEAD"))
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / "changed.txt").read_text() == "old\n"


def test_a_config_in_a_file_is_copied_as_it_was_read(cloud, tmp_path):
  path = str(tmp_path / "my config.py")
  file, other = (ConfigFile(path, text) for text in (b"x = 1", b"x = 2"))
  watch(PLAN._replace(config_file=file))
  home = cloud.folder / "worker-0" / "emergence"
  assert (home / file.copied).read_bytes() == b"x = 1"
  assert file.copied.startswith(".launch/my-config-")
  assert file.copied != other.copied


def test_installing_forgets_what_was_done(cloud):
  watch()
  states = lambda: tpu_slice.worker_states(PLAN, 1)
  assert states() == [("0", "exit 0")]
  install()
  assert states() == [("0", "idle")]
