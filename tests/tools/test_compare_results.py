"""tools/compare_results.py finds a changed digit and ignores logs."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
from compare_results import differences  # noqa: E402


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_one_digit_is_found_and_logs_are_not(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, digit in ((before, "1"), (after, "2")):
        write(folder, "same.csv", "auc\n0.5\n")
        write(folder, "run/predictions_test.csv", f"score\n0.12345{digit}\n")
        write(folder, "logs/run.json", digit)
        write(folder, "run/log.txt", digit)
        write(
            folder, "run/history.json", f'[{{"auc": 0.5, "seconds": {digit}}}]'
        )
    write(after, "new.json", "{}")
    assert differences(before, after) == [
        f"only in {after}: new.json",
        "differs: run/predictions_test.csv",
    ]
    assert differences(before, before) == []
