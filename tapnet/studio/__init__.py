"""The studio: a web server on a project's folder, where people click points and correct tracks.

app         the application: routes, and what every answer has in common
guard       what is refused before anything is read: other sites, bodies that are too long
access      who asks, and whether they may; log-in, accounts
videos      videos, their frames, uploads      frames, decoder, uploads, probing, apart: behind it
edits       tracks, paths                      tasks: passes, comparing, quality
jobs        long work                          workers, worker, work: who does it
events      what others did, as it happens
serving     all of it as one process that stops cleanly
"""
