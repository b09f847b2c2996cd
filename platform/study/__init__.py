"""Ablation studies: variants of a method, trained alike with several seeds and measured together."""
