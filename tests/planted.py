"""Code in the files of a folder that a stranger sent."""

import pickle

import pytest

from data_prep.files.errors import InputError
from tests.encoder_files import Evil

CALL = "builtins.open ['{}', w]"
#: Yaml that runs code in one of its loaders; ``{}`` is the file it would write.
CODE = {
    "new": f"x: !new:{CALL}",
    "new_class": "x: !new:io.FileIO ['{}', w]",
    "apply": f"x: !apply:{CALL}",
    "applyref": f"x: !applyref:{CALL}",
    "verbatim": f"x: !<!apply:builtins.open> {CALL[14:]}",
    "directive": f"%TAG !e! !apply:builtins.\n---\nx: !e!open {CALL[14:]}",
    "name": "x: !name:builtins.open",
    "module": "x: !module:antigravity",
    "python": f"x: !!python/object/apply:{CALL}",
    "tuple": f'x: (!!python/object/apply:{CALL})',
    "in_a_list": f"x: [1, [2, a: !apply:{CALL}]]",
    "as_a_key": f"? !apply:{CALL}\n: 1",
    "known_object": "x: !new:cry_modules.views.SpecAugment\n"
    f"    time_warp: !apply:{CALL}",
    "attribute": "x: !apply:getattr [!new:cry_modules.cnn14.Cnn14 {mel_bins: 80"
    "}, forward]",
    "reference": "y: 1\nx: !ref <y.real>",
    "module_of_ours": "x: !apply:cry_modules.architectures.importlib."
    "import_module [antigravity]",
    "function_of_ours": "x: !apply:data_prep.files.tables.write_text ['{}', '']",
}  # fmt: skip
#: What every yaml file of a training has.
PIECES = "output_folder: out\nnumber_of_epochs: 1\n"


def code_of(name, marker):
    """Yaml that would write the marker."""
    return CODE[name].replace("{}", str(marker))


def one_line(function, *arguments):
    """The message of a refusal."""
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def plant(folder, marker):
    """Replace the checkpoints of a run, and add what runs code elsewhere."""
    bomb = pickle.dumps(Evil(marker), protocol=2)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("custom.py", "Snakefile", "conftest.py"):
        (folder / name).write_text(f"open({str(marker)!r}, 'w')\n")
    for path in folder.rglob("*.ckpt"):
        path.write_bytes(bomb)
    for path in folder.rglob("CKPT.yaml"):
        meta = "unixtime: 0\nscore: 1.0\n"
        path.write_text(meta + code_of("python", marker))
    (folder / "label_encoder.txt").write_text(
        f"__import__('builtins').open({str(marker)!r}, 'w') => 0\n"
    )
