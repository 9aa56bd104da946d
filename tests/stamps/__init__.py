"""The marks that test pictures and sounds carry, in Python, JavaScript (`stamp.js`) and C (`stamp.h`).

A picture carries a frame stamp in its upper half (`stamp`); a sound is a pure tone (`tones`), one of its own for
each party, so that what arrives says who sent it, which frame it is and when it left.
"""
