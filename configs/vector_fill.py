"""Recovery without learning: vector fill into the concealed macroblocks, then splicing."""

dac = dict(type="ConcealedMacroblocks")
cfc = dict(type="VectorFill")
