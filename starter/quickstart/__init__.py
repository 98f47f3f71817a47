"""``python -m starter.quickstart``: the main job on the running stack, with a client that writes meanwhile.

``counting_writer`` is also what tests write with.
"""
