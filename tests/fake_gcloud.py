"""A stand-in for `gcloud`: records what it is called with, and plays its part.

Its folder is $FAKE_GCLOUD. `play.json` there says how the cloud behaves:
`states`, those that the request goes through, one a look, the last one stays;
`workers`, how many there are; `failures`, each with what a call must contain,
its output, exit code, and how many times. Workers are folders, `worker-0` and
so on, which are the home of what ssh is to run; a deleted slice loses them.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(os.environ["FAKE_GCLOUD"])


def main(words):
  with (HERE / "calls.jsonl").open("a") as file:
    file.write(json.dumps(["gcloud", *words]) + "\n")
  play = json.loads((HERE / "play.json").read_text())
  for failure in play["failures"]:
    if failure["in"] in " ".join(words) and failure["times"] > 0:
      failure["times"] -= 1
      (HERE / "play.json").write_text(json.dumps(play))
      print(failure["stdout"])
      print(failure["stderr"], file=sys.stderr)
      return failure["code"]
  is_there = HERE / "is_there"
  match words[:4]:
    case ["compute", "tpus", "queued-resources", "create"]:
      is_there.touch()
      for worker in range(play["workers"]):
        (HERE / f"worker-{worker}").mkdir()
    case ["compute", "tpus", "queued-resources", "delete"]:
      is_there.unlink()
      for worker in HERE.glob("worker-*"):
        shutil.rmtree(worker)
    case ["compute", "tpus", "queued-resources", "describe"]:
      if not is_there.exists():
        print(
          "ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND:"
          " Resource 'projects/p/queuedResources/tpu' was not found",
          file=sys.stderr,
        )
        return 1
      state = play["states"][0]
      if len(play["states"]) > 1:
        del play["states"][0]
        (HERE / "play.json").write_text(json.dumps(play))
      if isinstance(state, str):
        state = {"state": state}
      print(json.dumps({"name": "projects/p/tpu", "state": state}))
    case ["compute", "tpus", "tpu-vm", "describe"]:
      ends = [{"ipAddress": f"10.0.0.{i}"} for i in range(play["workers"])]
      print(json.dumps({"state": "READY", "networkEndpoints": ends}))
    case ["compute", "tpus", "tpu-vm", "ssh"]:
      options = dict(w[2:].split("=", 1) for w in words if "=" in w)
      return ssh(options["worker"], options["command"], play["workers"])
    case ["compute", "tpus", "tpu-vm", "scp"]:
      file, target = words[4:6]
      for worker in range(play["workers"]):
        shutil.copy(file, HERE / f"worker-{worker}" / target.split(":", 1)[1])
    case ["storage", "cp", *_]:
      pass
    case _:
      print(f"ERROR: (gcloud) Invalid choice: {words}", file=sys.stderr)
      return 2
  return 0


def ssh(worker, script, workers):
  numbers = range(workers) if worker == "all" else [int(worker)]
  code = 0
  for number in numbers:
    home = HERE / f"worker-{number}"
    environment = os.environ | {
      "HOME": str(home),
      "PATH": f"{HERE / 'worker_bin'}:{os.environ['PATH']}",
    }
    done = subprocess.run(
      ["bash", "-c", script], cwd=home, env=environment, text=True
    )
    code = max(code, done.returncode)
  return code


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
