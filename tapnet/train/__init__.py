"""Training: `train(run)`, with a `Run` of `tapnet.config`.

    from tapnet.config import read
    from tapnet.train import train

    train(read("tapnet/configs/tapnet_config.py:smoke"))

The same call goes on with a run that was stopped. docs/training.md says the rest.
"""

from tapnet.train.objectives import LOSSES
from tapnet.train.pace import Status
from tapnet.train.running import Mode, train

__all__ = ["LOSSES", "Mode", "Status", "train"]
