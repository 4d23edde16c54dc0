"""Messages of the commands that write or search a dataset of vectors."""


class CorpusErrors:
    """Message templates; fill with ``str.format``."""

    # datasets of vectors
    E110 = (
        "[CE110] {owner}: {folder} holds an export of something else: {key} was {before}, and is {now}. Accepted: the "
        "command that began it, or a folder that is new. Fix: name another folder, or go on with what it was begun "
        "with."
    )
    E111 = (
        "[CE111] {owner}: the input has changed since {folder} was begun: the documents of {shard} ({first} to {last}) "
        "are not those that were exported. Accepted: the same documents in the same order. Fix: name another folder "
        "for the new input, or put the old input back."
    )
    E112 = (
        "[CE112] {owner}: another process is writing to {folder}. Accepted: one at a time, or jobs of --shard i/n with "
        "one n. Fix: wait until it has ended, or name another folder."
    )
    E113 = (
        "[CE113] {owner}: can't write {file} ({reason}). Accepted: a folder with room for the rows. Fix: make room, "
        "and give the same command again; the {n_done} shards that were finished are kept."
    )
    E114 = (
        "[CE114] {owner}: {what} could not be exported ({reason}). Accepted: documents that can be read, and that the "
        "pipeline runs on. Fix: mend it and give the same command again, which goes on from the shards that are done; "
        "or leave such documents out by --on-error skip, which lists them."
    )
    E115 = (
        "[CE115] {owner}: a worker ended without a word ({reason}), as when memory runs out. Accepted: as many workers "
        "as memory holds. Fix: give the same command again with fewer --workers; what was finished is kept."
    )
    E116 = "[CE116] {owner}: {folder} is no folder of 'embed export': {reason}. Accepted: {accepted}. Fix: {fix}."
