"""Message templates of training a language model, a part of :mod:`~spacy_ctx_embed.errors.messages`."""


class TrainingErrors:
    """Message templates; fill with ``str.format``."""

    # text to train on
    E030 = (
        "[CE030] {key}: {file} is {reason}. Accepted: files that can be read, and folders with such files in them; "
        "hidden ones don't count. Fix: change '{key}' in the config, or put the text there."
    )
    E031 = (
        "[CE031] {key}: {file} can't be decompressed to its end: {reason}. Accepted: a whole .gz, .xz or .zst file. "
        "Fix: get or compress the file again, it may have been cut off on its way."
    )
    E032 = (
        "[CE032] {key}: {file}, line {line}, is not UTF-8 ({reason}). Accepted: text in UTF-8, one text per line, also "
        "as .gz, .xz or .zst. Fix: convert the file, if its encoding is latin-1 by: iconv -f latin1 -t utf-8; or take "
        "it out of '{key}' if it is not text."
    )
    E033 = (
        "[CE033] {key}: {file}, line {line}, is {reason}. Accepted: one JSON object per line, with 'text' (a string) "
        "or 'tokens' (a list of strings). Fix: mend or remove that line; or if the file is plain text, give it "
        "another name than .jsonl."
    )
    E034 = (
        "[CE034] {key}: {file} is not readable as Docs ({reason}). Accepted: a .spacy file as DocBin.to_disk and "
        "'python -m spacy convert' write it. Fix: write the file again, it may have been cut off on its way."
    )
    E035 = (
        "[CE035] {key}: {reason}. Accepted: text with at least one word to train on and one to evaluate on. Fix: {fix}."
    )
    E036 = (
        "[CE036] {folder}: no space left for the prepared text ({reason}): it needs more than {needed:,} bytes, and "
        "{free:,} are free. Accepted: a disk with 4 bytes for each word of the text. Fix: free some space, or prepare "
        "the text in a folder on another disk."
    )
    E037 = (
        "[CE037] {folder} holds no prepared text that can be used: {reason}. Accepted: a folder that was written to "
        "its end and not changed since. Fix: remove the folder, and prepare the text again."
    )

    # training a language model
    E040 = (
        "[CE040] {folder} {reason}. Accepted: a folder that is new or empty, or with --resume one that this command "
        "wrote. Fix: {fix}."
    )
    E041 = (
        "[CE041] {file} can't be written ({reason}). Accepted: a disk with room for it. What was written before is "
        "still there. Fix: free some space, then go on with --resume."
    )
    E042 = (
        "[CE042] {file} is not a checkpoint that can be read ({reason}). Accepted: one that this version wrote to its "
        "end. Fix: start again in a new folder; what is in model-best there can be named in pretraining.init_from."
    )
    E043 = (
        "[CE043] Training stopped at step {step}, before the weights were changed: {reason}. {diagnosis} Accepted: "
        "finite numbers. The last good checkpoint is of step {saved}, in {file}. Fix: go on from it with another "
        "setting, such as --resume --pretraining.optimizer.learn_rate {rate:g} or a smaller "
        "--pretraining.grad_clip."
    )
    E044 = (
        "[CE044] {key} is not what the checkpoint in {folder} was made with. Accepted: on --resume, the same text, "
        "seed, mix, sizes, softmax, batch_size, unroll_steps, vocab_size, init_from, widen, freeze_steps, held_out and "
        "eval_tokens; all else may change. Fix: set it back, or start in a new folder."
    )
    E045 = (
        "[CE045] {folder} holds no {file}, so this model can't predict words. Accepted: a folder that 'python -m spacy "
        "embed pretrain-elmo' wrote; models that others published come without {file}. Fix: name the folder model-best "
        "of a training, or put {file} back."
    )
    E046 = "[CE046] substitutes: {key} = {value!r} is {reason}. Accepted: {accepted}. Fix: {fix}."
