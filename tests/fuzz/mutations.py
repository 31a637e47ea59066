"""Seeded mutations of files, and the trial of a reader on them."""

import copy
import csv
import io
import json
import random
import resource
import signal
import traceback
from contextlib import contextmanager
from pathlib import Path

from data_prep.files.errors import InputError

#: Memory that reading one small file may take, bytes, and its longest time.
MEMORY, SECONDS = 1 << 30, 20
#: Values that careless programs trip over.
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, -0.5, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", " ", "x", "0", "../../x",
    "/etc/hostname", ".", "..", "a\nb", "\ud800", "\0", "e\u0301", "x" * 5000,
    [], {}, [[]], [None], {"": {}}, {"a": 1}, [1, 2, 3], [[1.0, "x"]],
]  # fmt: skip
CELLS = [
    "", " ", "x", "0", "-1", "7.0", "007", "1e999", "nan", "NaN", "inf", "-0",
    "1,5", "=1+1", "#NAME?", "../x", "/x", "$data_root", "$x", "a\nb", "\"",
    "\u200b", "\xa0", "\0", "\ufeff", "\ud83d\ude00", "e\u0301", "x" * 300,
    "9" * 400,
]  # fmt: skip


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert, or overwrite a number of a header."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 20])):
        # Headers decide, so most mutations are there.
        most = len(data) if rng.random() < 0.4 else min(len(data), 120)
        at, size = rng.randrange(most + 1), rng.choice([1, 2, 4, 8, 64])
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at:at] = rng.randbytes(size)
        elif kind == 4:
            number = rng.choice([0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31])
            data[at : at + 4] = number.to_bytes(
                4, rng.choice(["little", "big"])
            )
        else:
            del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def of_json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove, rename or repeat parts of the data, which stay JSON."""
    data = json.loads(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data = _changed(data, rng)
    return json.dumps(data).encode()


def _changed(data, rng):
    if not isinstance(data, (dict, list)) or not data or rng.random() < 0.1:
        return copy.deepcopy(rng.choice(ODD))
    keys = list(data) if isinstance(data, dict) else list(range(len(data)))
    key, kind = rng.choice(keys), rng.random()
    if kind < 0.12:
        del data[key]
    elif kind < 0.2 and isinstance(data, dict):
        data[str(rng.choice(ODD))] = data.pop(key)
    elif kind < 0.2:
        data.insert(rng.randrange(len(data)), copy.deepcopy(data[key]))
    else:
        data[key] = _changed(data[key], rng)
    return data


def of_json_lines(content: bytes, rng: random.Random) -> bytes:
    """Change an entry of a journal, or any bytes of it."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    how = of_bytes if rng.random() < 0.2 else of_json
    lines[at] = how(lines[at], rng)
    return b"\n".join(lines) + b"\n"


def of_table(content: bytes, rng: random.Random) -> bytes:
    """Change cells, rows, columns, separators or bytes of a csv file."""
    if rng.random() < 0.2:
        return of_bytes(content, rng)
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        row = rng.choice(rows) if rows else [""]
        kind = rng.randrange(7)
        if kind < 3 and row:
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        elif kind == 3:
            rows.insert(rng.randrange(len(rows) + 1), list(row))
        elif kind == 4 and len(rows) > 1:
            del rows[rng.randrange(len(rows))]
        elif kind == 5 and row:
            del row[rng.randrange(len(row))]
        else:
            row.insert(rng.randrange(len(row) + 1), rng.choice(CELLS))
    out = io.StringIO()
    csv.writer(
        out,
        delimiter=rng.choice(",,,,,,;\t"),
        lineterminator=rng.choice(["\n", "\n", "\r\n", "\r"]),
    ).writerows(rows)
    coding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    return out.getvalue().encode(coding, "replace")


def of_yaml(content: bytes, rng: random.Random) -> bytes:
    """Change values, indentation and tags of a yaml file, or any bytes."""
    if rng.random() < 0.3:
        return of_bytes(content, rng)
    lines = content.decode().splitlines()
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        value = rng.choice([
            *map(json.dumps, ODD), "~", "no", "2023", "1e3", "00", "0x1F",
            "2023-01-01", "!!python/name:os.system", "!new:os.system", "&a [*a]",
            "[", "{", "*x", "<<: 1", "!!binary x", "1_000", "12:30", ".nan",
            "|", ">", "%", "@", "`x`", "a #b", "!ref <x>", "!!set {a}",
        ])  # fmt: skip
        lines[at] = rng.choice(
            [f"{key}{colon} {value}", value, "  " + lines[at]]
        )
    return "\n".join(lines).encode("utf-8", "replace")


@contextmanager
def limits(seconds: float = SECONDS):
    """Bound memory and time; a reader that needs more raises."""

    def late(*_):
        raise TimeoutError(f"it takes more than {seconds} s")

    kind = resource.RLIMIT_AS
    before = resource.getrlimit(kind)
    used = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(
        kind, (used * resource.getpagesize() + MEMORY, before[1])
    )
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(kind, before)


def trial(reader, path: Path, mutate, n: int, check=None):
    """Read ``n`` mutations of a file; return accepted and refused numbers, and
    a line for each fault: a traceback, a long time, much memory, a refusal that
    is not one line, or what ``check`` says of an accepted result."""
    right, faults = path.read_bytes(), {}
    counts = {"accepted": 0, "refused": 0}
    for seed in range(n):
        # A tuple's hash would depend on the process.
        rng = random.Random(f"{path.name} {seed}")
        content = mutate(right, rng)
        path.write_bytes(content)
        try:
            with limits():
                result = reader(path)
            counts["accepted"] += 1
            fault = check and check(result, content)
        except InputError as error:
            counts["refused"] += 1
            fault = _not_one_line(str(error))
        except (Exception, SystemExit) as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = [
                f"{Path(f.filename).name}:{f.lineno}"
                for f in traceback.extract_tb(error.__traceback__)
            ]
            fault = f"{type(error).__name__} {str(error)[:120]!r} in {place.name} ({' '.join(where[-4:])})"
        if fault:
            faults.setdefault(fault.split("(")[0][:90], f"seed {seed}: {fault}")
    path.write_bytes(right)
    reader(path)
    return counts, list(faults.values())


def _not_one_line(message: str):
    if "\n" in message or "\r" in message:
        return f"a refusal of several lines: {message[:200]!r}"
    if len(message) > 1500:
        return f"a refusal of {len(message)} characters: {message[:200]!r}"
    return None


def of_export(content: bytes, rng: random.Random) -> bytes:
    """Write the same table in another form of spreadsheets."""
    rows = list(csv.reader(io.StringIO(content.decode())))
    if rng.random() < 0.3:
        extra = [""] * rng.randrange(1, 4)
        rows = [row + extra for row in rows]
    for _ in range(rng.randrange(3)):
        blank = [""] * rng.choice([0, len(rows[0])])
        rows.insert(rng.randrange(len(rows) + 1), blank)
    separator = rng.choice(",,,;\t|")
    out = io.StringIO()
    if rng.random() < 0.2:
        out.write(f"sep={separator}\n")
    csv.writer(
        out,
        delimiter=separator,
        quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        lineterminator=rng.choice(["\n", "\r\n", "\r"]),
    ).writerows(rows)
    text = out.getvalue()
    if rng.random() < 0.2:
        text = text.rstrip("\r\n")
    coding = rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    return text.encode(coding)
