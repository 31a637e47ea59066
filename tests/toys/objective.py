"""A toy self-supervised objective: the views of a recording agree."""

import torch
import torch.nn.functional as F

from cry_modules.objectives.contract import Objective, Rows


class Agreement(Objective):
    """One minus the cosine between the first two views, a row per recording."""

    figures = {"cosine": "mean cosine"}

    def rows(self, *views):
        cosine = F.cosine_similarity(views[0].float(), views[1].float())
        recordings = torch.arange(len(cosine), device=cosine.device)
        return Rows(1 - cosine, {"cosine": cosine.detach()}, recordings)
