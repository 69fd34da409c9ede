"""The container runtime: sandboxes and processes, with CRI's verbs.

The server's side imports the standard library only, and little of that: it is forked for every container.
"""
