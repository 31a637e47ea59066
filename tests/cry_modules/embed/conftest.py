"""A small encoder, and the table that the command writes."""

import csv

import numpy as np
import pytest
import torch

from cry_modules.cnn14 import Cnn14
from cry_modules.embed.__main__ import main


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """File of a small encoder whose BatchNorm has seen noise."""
    torch.manual_seed(0)
    net = Cnn14(80, width=1).train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.randn(4, 64, 80))
    path = tmp_path_factory.mktemp("encoder") / "encoder.ckpt"
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture
def table(encoder, tmp_path):
    """Rows of a table that the command writes, and their numbers."""

    def table(*arguments, status=0, name="table.csv", source=encoder):
        out = tmp_path / name
        words = [source, *arguments, "--out", out]
        words += ["--front_end", "fbank"] * (source == encoder)
        try:
            main([str(word) for word in words])
            assert status == 0
        except SystemExit as stop:
            assert stop.code == status
        with open(out, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        names = [n for n in rows[0] if n.startswith("emb_")]
        used = [row for row in rows if not row["error"]]
        values = [[float(row[n]) for n in names] for row in used]
        return rows, np.array(values)

    return table
