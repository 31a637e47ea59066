"""Train scripts in forks of one process that has imported everything.

Importing torch and SpeechBrain takes seconds; a fork of a process that did it
begins at once, and can be killed like any other process. Reads requests and
writes answers as lines of JSON.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module

SCRIPTS = {
    "train_simclr.py": "recipes.simclr.train_simclr",
    "train_adapt.py": "recipes.adaptation.train_adapt",
    "train_cls.py": "recipes.classification.train_cls",
}


def child(script, arguments, log):
    """Be the script: never returns."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.setsid()  # a group of its own, with its loader workers
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [script, *arguments]
    status = 0
    try:
        import_module(SCRIPTS[script]).main(arguments)
    except SystemExit as error:
        status = error.code or 0
    except BaseException:  # a fork must never go on as its parent
        import traceback

        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait(pid, number, after):
    """Exit status; minus the signal's number where one ended it."""
    end = time.time() + after if number else float("inf")
    while time.time() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    send = os.killpg if number == signal.SIGKILL else os.kill
    send(pid, number)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    """Serve until stdin is closed."""
    import torch

    # One thread, and none before the fork: OpenMP's do not survive it.
    torch.set_num_threads(1)
    for module in SCRIPTS.values():
        import_module(module)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        began = time.time()
        pid = os.fork()
        if pid == 0:
            child(request["script"], request["arguments"], request["log"])
        status = wait(pid, request["signal"], request["after"])
        answer = {"status": status, "seconds": time.time() - began}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
