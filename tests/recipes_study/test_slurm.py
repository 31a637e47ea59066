"""The Slurm profile: resources of each job, and pre-emption. Short scripts take
the place of Slurm."""

import json
import os
import subprocess
import sys

import pytest
import studies
import yaml

from recipes.study.run import PROFILES, ROOT

#: Runs the job in the background.
SBATCH = """#!/bin/sh
folder=$HERE/jobs/$((1000 + $(ls $HERE/jobs | wc -l)))
mkdir $folder
printf '%s\\0' "$@" > $folder/argv
for argument; do
  case $argument in
    --wrap=*) printf %s "${argument#--wrap=}" > $folder/job.sh;;
  esac
done
setsid $HERE/node $folder > $folder/log 2>&1 &
basename $folder
"""
#: Pre-empts the first training once and, as --requeue asks, runs it again.
NODE = """#!/bin/sh
if grep -q train_simclr $1/argv && grep -q -- --requeue $1/argv; then
  setsid sh $1/job.sh &
  until ls -d $BEGUN || ! kill -0 $!; do sleep 0.1; done
  kill -KILL -- -$!
  touch $1/preempted
fi
sh $1/job.sh
echo $? > $1/status
"""
SACCT = """#!/bin/sh
cd $HERE/jobs
for number in *; do
  case $(cat $number/status 2>/dev/null) in
    "") state=RUNNING;; 0) state=COMPLETED;; *) state=FAILED;;
  esac
  echo "$number|$state"
done
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
    for name, text in (
        ("sbatch", SBATCH),
        ("node", NODE),
        ("sacct", SACCT),
        ("srun", SRUN),
        *((name, "#!/bin/sh\n") for name in ("sinfo", "squeue", "scancel")),
        ("sacctmgr", "#!/bin/sh\necho default\n"),
        ("scontrol", "#!/bin/sh\n"),
    ):
        text = text.replace("$HERE", str(folder)).replace("$BEGUN", begun)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
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
        argv = (folder / "argv").read_text().split("\0")
        comment = argv[argv.index("--comment") + 1]
        rule = comment.split("_wildcards")[0].removeprefix("rule_")
        jobs[rule] = folder, argv
    assert set(jobs) == {"corpus", "audit", "train_simclr"}
    folder, argv = jobs["train_simclr"]
    assert "--gres=gpu:1" in argv and "--requeue" in argv
    for rule in ("corpus", "audit"):
        assert "--gres=gpu:1" not in jobs[rule][1]
    # Killed and restarted, it has every epoch once.
    assert (folder / "preempted").is_file()
    history = json.loads((simclr.folder / "history.json").read_text())
    assert [row["epoch"] for row in history] == list(range(1, 31))
