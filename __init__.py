"""Temporal Segment Networks on video: `tsn.pipeline` makes and serves the data, `tsn.train` trains and answers.

Installed, the folders of the checkout and `cli.py` are this one package: nothing else of the same name can stand in its
way.
"""
