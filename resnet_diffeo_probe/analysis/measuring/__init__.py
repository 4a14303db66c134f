"""Carry out a plan: one unit at one input, anywhere."""
