"""Backbones: networks published elsewhere, each behind one file, and the small stand-ins trained from scratch."""
