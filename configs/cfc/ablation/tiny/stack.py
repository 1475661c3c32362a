"""Ablation of the small recovery network: none of it, the stack of classical guesses alone; there is nothing to train."""

_base_ = ["gate_embedding.py"]

cfc = dict(trust=0.0)
