"""Weights in files: ours (safetensors) and others' (PyTorch, read without running code from them)."""
