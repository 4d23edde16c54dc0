"""Templates of warnings, built like those of errors, with codes of their own (CW001 and on)."""


class Warnings:
    """Templates of what is worth a word and no reason to stop; fill with ``str.format``."""

    # cache: what goes wrong here costs time, never a result; each is given once per folder and process
    W001 = (
        "[CW001] cache_dir: what was kept in {folder} for one or more texts is damaged: its checksum does not match. "
        "It is not used: the vectors are computed again and written over it. Accepted: entries as they were written. "
        "Fix: none is needed; if this comes back, check the disk."
    )
    W002 = (
        "[CW002] cache_dir: {folder} can't be written ({reason}). What is there is still read, nothing is added any "
        "more, and no vector is lost or wrong. Accepted: a folder that this process may write, on a disk with room. "
        "Fix: free some space, or set 'cache_dir' to a folder on another disk; then start again."
    )
    W003 = (
        "[CW003] cache_dir: {folder} can't be read any more ({reason}), so that this process goes on without it. No "
        "vector is lost or wrong. Accepted: a folder that stays as this package wrote it. Fix: remove the folder when "
        "no process uses it; it is filled again."
    )

    # models
    W004 = (
        "[CW004] {file}: of its {total} words {count} can't be decoded, the first is word {number}, {word!r}. "
        "Accepted: words in UTF-8; what is not was read as U+FFFD, so that no token finds these words. Fix: leave "
        "them, if they are words cut inside a character; or convert the file, if its encoding is latin-1 by: "
        "iconv -f latin1 -t utf-8."
    )
    W007 = (
        "[CW007] {file}: of its {total} words {count} were there before, the first is word {row}, {word!r}. Of a "
        "repeated word the first row counts, as in gensim. Accepted: each word once. Fix: none is needed if the table "
        "is as it was published; else write each word once."
    )
    W008 = (
        "[CW008] {file} was read, and would open at once from now on if it could be kept in {folder} ({reason}). "
        "Nothing else changes. Accepted: a folder that this process may write, on a disk with room. Fix: free some "
        "space, name another folder in the variable {variable}, or set 'cache = false' in the config of the encoder."
    )
    W009 = (
        "[CW009] {file}: of the {total} words with a vector {count} are not in it, so that they are not known by name "
        "and were left out. Accepted: the strings of the pipeline whose vectors they are. Fix: name the whole pipeline "
        "as nlp.to_disk wrote it."
    )

    # text and model
    W005 = (
        "[CW005] {component}: {count} of the {total} words of a batch are unknown to the model {model!r}, the first is "
        "{word!r}: the model can't tell one such word from another, so that they have the status 'unknown' and no "
        "vector. Accepted: text in a language whose script the model has word pieces for. Fix: name a model of this "
        "language, for Chinese as by name = 'bert-base-chinese', for many languages 'bert-base-multilingual-cased'. "
        "This is said once for a component."
    )
    W006 = (
        "[CW006] {owner}: the GPU had no memory for a batch ({reason}). Its halves are run instead, and batches are "
        "made for {budget} pieces at a time from now on; no row is lost or changed. Accepted: batches that fit. Fix: "
        "set max_batch_tokens = {budget} in the config of this component, where it is {value}, or free memory on the "
        "GPU."
    )
