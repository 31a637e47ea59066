"""The Slurm profile: resources of each job, and pre-emption. Short scripts take
the place of Slurm."""

import json
import os
import stat
import subprocess
import sys

import pytest
import studies
import yaml

from recipes.study.run import PROFILES, ROOT

#: Runs the job in the background; pre-empts the first training once and, as
#: --requeue asks, runs it again.
SBATCH = """#!{python}
import json, os, subprocess, sys
here = os.path.dirname(os.path.abspath(__file__))
jobs = os.path.join(here, "jobs")
number = str(1000 + len(os.listdir(jobs)))
folder = os.path.join(jobs, number)
os.mkdir(folder)
json.dump(sys.argv[1:], open(os.path.join(folder, "argv.json"), "w"))
(wrap,) = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--wrap=")]
open(os.path.join(folder, "job.sh"), "w").write(wrap)
subprocess.Popen(
    [sys.executable, os.path.join(here, "node.py"), folder],
    stdout=open(os.path.join(folder, "log"), "w"), stderr=subprocess.STDOUT,
    start_new_session=True,
)
print(number)
"""
NODE = """import glob, json, os, signal, subprocess, sys, time
folder = sys.argv[1]
argv = json.load(open(os.path.join(folder, "argv.json")))
job = subprocess.Popen(["sh", os.path.join(folder, "job.sh")], start_new_session=True)
if "train_simclr" in " ".join(argv) and "--requeue" in argv:
    begun = {begun!r}
    while not glob.glob(begun) and job.poll() is None:
        time.sleep(0.1)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    open(os.path.join(folder, "preempted"), "w").close()
    job = subprocess.Popen(["sh", os.path.join(folder, "job.sh")])
status = str(job.wait())
open(os.path.join(folder, "status"), "w").write(status)
"""
SACCT = """#!{python}
import os
jobs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jobs")
for number in sorted(os.listdir(jobs)):
    path = os.path.join(jobs, number, "status")
    state = "RUNNING"
    if os.path.exists(path):
        state = "COMPLETED" if open(path).read() == "0" else "FAILED"
    print(number + "|" + state)
"""
#: Skips the options and runs the command.
SRUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec sh -c "$*"
"""


@pytest.fixture
def cluster(tmp_path):
    """Folder with the commands of Slurm and the submitted jobs."""
    folder = tmp_path / "cluster"
    (folder / "jobs").mkdir(parents=True)
    begun = str(tmp_path / "out/encoders/simclr/1-*/save/CKPT*")
    (folder / "node.py").write_text(NODE.format(begun=begun))
    for name, text in (
        ("sbatch", SBATCH.replace("{python}", sys.executable)),
        ("sacct", SACCT.replace("{python}", sys.executable)),
        ("srun", SRUN),
        *((name, "#!/bin/sh\n") for name in ("sinfo", "squeue", "scancel")),
        ("sacctmgr", "#!/bin/sh\necho default\n"),
        ("scontrol", "#!/bin/sh\n"),
    ):
        path = folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return folder


@pytest.mark.slow
def test_jobs_request_a_gpu_and_resume_after_preemption(cluster, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    settings = studies.settings(tmp_path / "out")
    settings["stages"]["simclr"]["number_of_epochs"] = 30
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(settings))
    plan = studies.plan_of(settings)
    simclr = plan.encoder("simclr", 1)
    path = f"{cluster}{os.pathsep}{os.path.dirname(sys.executable)}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile"]
        + ["recipes/study/Snakefile", "--profile", str(PROFILES / "slurm")]
        + ["--configfile", str(tmp_path / "study.yaml"), "--nolock"]
        + ["--slurm-init-seconds-before-status-checks", "1"]
        + ["--seconds-between-status-checks", "1", "--latency-wait", "5"]
        + [str(simclr.result)],
        capture_output=True, text=True, cwd=ROOT, timeout=500,
        env={
            **os.environ,
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = {}
    for folder in (cluster / "jobs").iterdir():
        argv = json.loads((folder / "argv.json").read_text())
        comment = argv[argv.index("--comment") + 1]
        jobs[comment.split("_wildcards")[0].removeprefix("rule_")] = (
            folder,
            argv,
        )
    assert set(jobs) == {"corpus", "audit", "train_simclr"}
    folder, argv = jobs["train_simclr"]
    assert "--gres=gpu:1" in argv and "--requeue" in argv
    for rule in ("corpus", "audit"):
        assert "--gres=gpu:1" not in jobs[rule][1]
    # Killed and restarted, it has every epoch once.
    assert (folder / "preempted").is_file()
    history = json.loads((simclr.folder / "history.json").read_text())
    assert [row["epoch"] for row in history] == list(range(1, 31))
