"""The engine `local`: worker processes of this machine, whose memory, time and actions are limited.

`driver` runs in the process of the run and decides. It starts a `server`, which imports the libraries once and forks a
`worker` for it where it wants one. A file that makes its reader hang, crash or take all memory ends one worker.
"""
