"""Trainings that are ready to run: `python tapnet/experiment.py --config FILE[:VARIANT]`."""
