"""Which side each digest takes, and questions on which several agree: read from the digests for this benchmark.

The sides are those of the summaries in ``corpora/evidence/conflicts.yaml``, towards yes or no to the set's own
question. The agreeing sets were written by the author of the rules, before any figure was taken on them.
"""

from __future__ import annotations

YES = frozenset({
    1854609, 11279304, 12571256, 12589964, 15265230, 16189520, 16356219, 17822565, 19884587, 20470379, 21935491,
    22066097, 22080588, 22130826, 22474554, 22550478, 22870238, 23170151, 23514036, 23555624, 23826009, 24028826,
    24955282, 25316464, 25478537, 25589945, 25593737, 25685151, 25885506, 25946929, 26330717, 26543461, 27029815,
    27054007, 28127207, 28523031, 29416463, 29417084, 29732205,
})  # fmt: skip
NO = frozenset({
    9672273, 15932638, 16034922, 16569261, 17255138, 17562951, 17593956, 20148084, 22249480, 24037003, 24130381,
    24341598, 24464946, 24516491, 24835009, 24911260, 25161987, 25249290, 25624534, 25885418, 26250435, 26338825,
    26631004, 26674353, 26700109, 27233840, 27730033, 28072709, 28468749, 28616213, 28808578, 28943623, 29307903,
    29340293, 29364340, 29416451, 29441174, 29713463,
})  # fmt: skip
SIDELESS = "goal-directed-fluid-more-or-less"  # a conflict whose question is not one for yes or no
# Name, question, side, PMIDs.
AGREEING: tuple[tuple[str, str, int, tuple[int, ...]], ...] = (
    ("early-atropine-shortens-stress-echo",
     "Does giving atropine early shorten dobutamine stress echocardiography?", 1, (16569248, 16848911)),
    ("dexmedetomidine-against-emergence-agitation",
     "Does dexmedetomidine reduce emergence agitation in children after sevoflurane?", 1, (28442950, 24015133)),
    ("tranexamic-acid-and-seizures",
     "Is tranexamic acid linked to seizures after cardiac surgery?", 1, (19996135, 24588023, 19020118)),
    ("tranexamic-acid-and-blood-loss",
     "Does tranexamic acid reduce blood loss in elective surgery?", 1, (27896241, 20640094, 25885506, 28072709)),
    ("probiotics-against-antibiotic-diarrhoea",
     "Do probiotics prevent antibiotic-associated diarrhoea in adults?", -1, (26973849, 21165295)),
    ("acetylcysteine-against-contrast-nephropathy",
     "Does N-acetylcysteine prevent contrast nephropathy?", -1, (23731573, 26478730)),
    ("rizatriptan-for-migraine",
     "Does rizatriptan relieve migraine better than older drugs at two hours?", 1, (12464714, 17563841)),
    ("restrictive-fluid-in-surgery",
     "Does goal-directed fluid restriction during surgery reduce complications?", 1, (28211020, 28880931)),
    ("oral-remedies-for-mucositis",
     "Can honey or glutamine make oral mucositis from radiotherapy milder?", 1, (24665438, 28878156)),
    ("markers-before-prostate-biopsy",
     "Does information beyond PSA improve the decision on prostate biopsy?", 1, (18611265, 22203238, 22866217)),
    ("tranexamic-acid-for-intracranial-bleeding",
     "Does tranexamic acid improve functional outcome after intracranial haemorrhage?", -1, (29778325, 24267513)),
    ("coated-balloons-and-patency",
     "Do paclitaxel-coated balloons keep vessels open longer than plain angioplasty?", 1, (29713218, 29264999)),
    ("clonidine-and-block-duration",
     "Does clonidine added to ropivacaine prolong supraclavicular block?", 1, (25624534, 26330717)),
    ("short-palliative-radiotherapy",
     "Does a shorter course of palliative radiotherapy relieve symptoms as well as a longer one?", 1,
     (18596887, 15770205)),
    ("erlotinib-in-unselected-patients",
     "Does erlotinib prolong survival in unselected non-small-cell lung cancer?", -1, (23078958, 25031274)),
    ("second-drug-and-propofol-dose",
     "Does adding a second drug reduce the propofol needed for endoscopic sedation?", 1,
     (23170151, 29340293, 29441174)),
    ("selenium-for-radiation-diarrhoea",
     "Does selenium reduce diarrhoea from pelvic radiotherapy in deficient women?", 1, (23531280, 29652817)),
)  # fmt: skip
