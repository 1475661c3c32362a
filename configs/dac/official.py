"""The published detector (B2SCVR's DAC), for its own weights: vectors as a colour wheel, one letter a frame, forward only.

Its `checkpoint.pt` becomes the file below by tools/convert_checkpoint.py. The mask of the first damaged frame is given
(--first-mask), or taken from what the decoder concealed.
"""

dac = dict(type="PublishedDetector")
cfc = dict(type="VectorFill")
checkpoint = "checkpoints/published_detector.safetensors"
track = dict(both_directions=False)  # True: pictures before a start of its own are tracked backwards too
