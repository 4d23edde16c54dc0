"""Templates of warnings, built like those of errors, with codes of their own (CW001 and on)."""


class Warnings:
    """Templates of what is worth a word and no reason to stop."""

    W001 = (
        "[CW001] {file}: of its {total} words {count} can't be decoded, the first is word {number}, {word!r}. "
        "Accepted: words in UTF-8; what is not was read as U+FFFD, so that no token finds these words. Fix: leave "
        "them, if they are words cut inside a character; or convert the file, if its encoding is latin-1 by: "
        "iconv -f latin1 -t utf-8."
    )
