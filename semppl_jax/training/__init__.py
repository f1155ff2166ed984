"""Training: the experiment of a config, its train step, the loop, the files.

Called by the commands, and by protocols, report and tools above this room.
"""
