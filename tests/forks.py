"""Run train scripts and other commands in forks of one warm process.

Importing torch and SpeechBrain takes seconds; a fork of a process that has
imported them starts at once, and can be killed like any other process. Requests
and answers are lines of JSON on stdin and stdout.
"""

import json
import os
import runpy
import signal
import sys
import tempfile
import time
import traceback
from importlib import import_module

SCRIPTS = {
    "train_simclr.py": "recipes.simclr.train_simclr",
    "train_adapt.py": "recipes.adaptation.train_adapt",
    "train_cls.py": "recipes.classification.train_cls",
}
#: Modules that commands import late.
LATE = [
    *("matplotlib.backends.backend_agg", "PIL.PngImagePlugin"),
    *("cry_modules.figures.training", "cry_modules.figures.results"),
    *("cry_modules.training.probe", "cry_modules.evaluation.controls"),
    "sklearn.svm",
    *("data_prep.audit", "data_prep.pack", "data_prep.split"),
]


def warm_up():
    """Import and compute once what every fork would have to repeat."""
    import torch

    # One thread, and none before the fork: OpenMP's do not survive it.
    torch.set_num_threads(1)
    for module in [*SCRIPTS.values(), *LATE]:
        import_module(module)
    # The first optimizer imports torch._dynamo, which takes two seconds.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    # The list of packages for env.log, cached.
    import_module("cry_modules.training.experiment").environment()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.text(0, 0, "find the fonts")
    with tempfile.TemporaryFile() as file:
        figure.savefig(file)


def draw_no_curves():
    """Skip the curves of a pre-training, which take as long as training."""
    import_module("cry_modules.figures.training").draw_curves = lambda *_: None


def run(name, arguments):
    """Run a script of SCRIPTS, or any other name as ``python -m`` does."""
    sys.argv = [name, *arguments]
    if name in SCRIPTS:
        import_module(SCRIPTS[name]).main(arguments)
    else:
        sys.modules.pop(name, None)  # else runpy warns that it is imported
        runpy.run_module(name, run_name="__main__", alter_sys=True)


def child(request):
    """Run a command in this process and exit."""
    for number, log in ((1, request["log"]), (2, request["errors"])):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        os.dup2(os.open(log, flags), number)
    os.setsid()  # a group of its own, with its loader workers
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 0
    try:
        if not request["curves"]:
            draw_no_curves()
        run(request["name"], request["arguments"])
    except SystemExit as error:
        status = error.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:  # a fork must never return to its parent's loop
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait(pid, number, after):
    """Wait for a fork; send a signal after some seconds. Returns its exit
    status, or minus the number of the signal that ended it."""
    end = time.monotonic() + after if number else float("inf")
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    send = os.killpg if number == signal.SIGKILL else os.kill
    send(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    """Answer requests until stdin is closed."""
    warm_up()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(request)
        status = wait(pid, request["signal"], request["after"])
        answer = {"status": status, "seconds": time.monotonic() - began}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
