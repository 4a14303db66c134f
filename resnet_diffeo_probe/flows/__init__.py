"""The paper: velocity fields, their flows and exponentials, the four spiral networks and what their maps do.

Nothing here imports torch until it is asked for: the fields, their closed-form Jacobians and gradients
are numpy.
"""
