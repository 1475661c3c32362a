"""Recovery without learning or vectors: constant velocity into the concealed macroblocks, then splicing."""

dac = dict(type="ConcealedMacroblocks")
cfc = dict(type="VectorFill", candidate="steady")
