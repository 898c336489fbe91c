"""The daemons, a file each, on one small base.

`base` is what a daemon is made of, `runner` and `loop` run its lanes, `control` starts and stops it. A daemon never
imports another daemon: they all meet in the run database.
"""
