"""The bridge: the papers' contrasts on a pretrained model of the user's, with controls and certificates.

order.py    what the user asks for, and the model and lengths that follow
texts.py    text that is trained on and text that is held out, disjoint by document
cells.py    the models of the study, and what is measured of them
claims.py   what is judged
budget.py   memory and time, worked out before any work
study.py    all of it as a study
"""
