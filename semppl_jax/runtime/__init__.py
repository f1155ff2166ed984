"""Processes, devices, files, errors and the frame of the commands.

Knows no config, data or model. Every other room may import it.
"""
