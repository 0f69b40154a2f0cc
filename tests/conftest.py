"""Fixtures that several test modules share."""

from projects import database, project

__all__ = ["database", "project"]
