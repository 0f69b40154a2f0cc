"""Score a tracker on a labelled dataset, and say under which protocol.

result = evaluate("tapvid_davis.pkl", tapnet.load("klt"), out="runs/klt")
print(table([result]))

Two numbers of one name compare only under one protocol, so a `Result` carries it. Predictions are
kept in `out`, one file per video: an interrupted run goes on where it stopped, and `score` judges
them again without the tracker. Positions are judged at 256x256, whatever the model was given.
docs/evaluation.md tells how to read the scores.
"""

from tapnet.evaluate.folder import Independence, Predicted
from tapnet.evaluate.protocol import Protocol, Settings, differences
from tapnet.evaluate.results import Pooled, Result, Row, read_result
from tapnet.evaluate.running import evaluate, score
from tapnet.evaluate.scoring import SCORERS, score_clip
from tapnet.evaluate.space import score_space
from tapnet.evaluate.statistics import Comparison, Interval, compare, interval
from tapnet.evaluate.table import report, table

__all__ = [
    "SCORERS",
    "Comparison",
    "Independence",
    "Interval",
    "Pooled",
    "Predicted",
    "Protocol",
    "Result",
    "Row",
    "Settings",
    "compare",
    "differences",
    "evaluate",
    "interval",
    "read_result",
    "report",
    "score",
    "score_clip",
    "score_space",
    "table",
]
