"""Danlu 丹爐: from documents to a tested, deployed Traditional-Chinese assistant."""

__version__ = "0.1.0"
