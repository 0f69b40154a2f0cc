"""Score a tracker on a labelled dataset, and say under which protocol.

result = evaluate("tapvid_davis.pkl", tapnet.load("klt"), out="predictions")
print(report(result))

Two numbers of one name compare only under one protocol, so a `Result` carries it. Predictions are
kept in `out`, one file per video: an interrupted run goes on where it stopped, and `score` judges
them again without the tracker. Positions are judged at 256x256, whatever the model was given.
"""

from tapnet.evaluate.folder import Predicted
from tapnet.evaluate.results import Protocol, Result, Row
from tapnet.evaluate.running import evaluate, score, score_clip
from tapnet.evaluate.table import report

__all__ = [
    "Predicted",
    "Protocol",
    "Result",
    "Row",
    "evaluate",
    "report",
    "score",
    "score_clip",
]
