"""Stateless bricks."""
