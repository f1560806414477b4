"""Words that say nothing about a subject: function words, and what only asks."""

from __future__ import annotations

import re

STOPWORDS = frozenset(
    """a about after all also although am an and any are as at be because been before being between both but by can
    could did do does doing done during each eg either else for from further had has have having he her here hers
    him his how i ie if in into is it its itself just may me might more most must my nor of off on once only or
    other our ours out over own per same shall she should so some such than that the their theirs them then there
    therefore these they this those through thus to too under until up upon us use used using very via was we were
    what when where whether which while who whom whose why will with within would you your""".split()
)
# What only asks: a command that opens a question, and phrases around its subject.
ASKING = re.compile(
    r"^\W*(?:please\s+)?(?:list|name|describe|explain|define|give|provide|summari[sz]e|mention|discuss|enumerate|outline)\b"
    r"|\b(?:mechanisms? of action|mode of action|is known about|associated with|used for|used to treat|please|"
    r"what kind of)\b",
    re.IGNORECASE,
)
