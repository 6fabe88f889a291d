"""Announces sessions and shows what becomes of them; it holds no share."""
