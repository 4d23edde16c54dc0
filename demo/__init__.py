"""One spaCy pipeline with static, ELMo and BERT vectors, and what each makes of words with two senses.

Run it from the repository with ``make demo`` or ``python -m demo``.
"""
