"""``plaudit analyze NAME RUN|WORLD``: why a reward works, one question at a time; nothing of a run is changed.

An analysis is a file with a subclass of :class:`plaudit.analyze.base.Analysis`; the registry knows it by name.
"""
