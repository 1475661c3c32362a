"""The coded side of a clip: reading, damaging, encoding and repairing bitstreams. Knows no torch."""
