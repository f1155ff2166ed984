"""HTML page of what runs learned, from their files, data and networks.

Imports the rooms below `report`; only the commands and `tools` import it.
"""
