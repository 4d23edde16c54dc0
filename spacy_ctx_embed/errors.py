"""One message template per mistake a user can make, and the five exception types that carry them.

Each template names what is wrong with the value received, what is accepted, and after ``Fix:`` what to do.
Codes are stable, so that a message can be searched for; a retired code is not used again.
"""


class ModelNotFoundError(FileNotFoundError, ValueError):
    """A model name that leads to no files: carries one line for each place that was tried."""


class ModelFormatError(ValueError):
    """A file that is there but is not what it should be: truncated, of another shape, not numbers, not a model."""


class CorpusError(ValueError):
    """Text to train on that can't be used: not there, damaged, of another format, too little, or its prepared form."""


class TrainingError(ValueError):
    """A training that can't begin or go on: its folder or checkpoint is not as it should be, or numbers overflowed."""


class MissingEmbeddingsError(ValueError, KeyError):
    """An attribute of a component that did not run on this Doc.

    A ``ValueError`` to the reader of ``token._.vector``, and a ``KeyError`` so that ``name in doc._.embeddings``
    and ``.get(name)`` behave as they do on every mapping.
    """

    def __str__(self) -> str:
        return ValueError.__str__(self)


class Errors:
    """Message templates; fill with ``str.format``."""

    # settings
    E001 = (
        "[CE001] {owner}: the setting '{key}' is {value!r}. Accepted: {accepted}. Fix: change '{key}' in the config "
        "of this component."
    )
    E002 = (
        "[CE002] {owner}: the setting '{key}' is {value!r}, which this version does not offer for it yet. "
        "Accepted: {accepted}. Fix: change '{key}' in the config of this component."
    )
    E003 = (
        "[CE003] Can't install the extension attribute {owner}._.{key}: something else in this process already "
        "set an extension of that name. Accepted: the name free, or set by this package. Fix: rename yours, or "
        "remove it with {owner}.remove_extension({key!r}) before the component is added."
    )
    E004 = (
        "[CE004] {owner}: gpu = {value!r}, but {reason}. Accepted: gpu = 'follow' or 'prefer' on a machine without "
        "a usable GPU. Fix: {fix}."
    )
    E005 = (
        "[CE005] {owner}: '{key}' needs the package {package!r}, which is not installed ({reason}). Accepted: any "
        "environment in which it imports. Fix: pip install '{install}'."
    )

    # models
    E010 = (
        "[CE010] {owner}: can't find the model name = {value!r}. Places tried, in order:\n{tried}\n"
        "Accepted: a path, 'package:NAME/sub/path', 'hub:org/repo', 'gensim:NAME', or an alias ({aliases}). "
        "Fix: {fix}"
    )
    E011 = (
        "[CE011] {owner}: the model name = {value!r} is {reason}. Accepted: {accepted}. Fix: choose a name of that "
        "kind in the config of this component."
    )
    E012 = "[CE012] Can't read {file}: {reason}. Accepted: {accepted}. Fix: {fix}."
    E013 = "[CE013] {file}: {item} is {found}. Accepted: {expected}. Fix: {fix}."
    E014 = (
        "[CE014] {file} is a pickle ({reason}), and loading a pickle can run any code that its author put in it. "
        "Accepted: text, binary, .npy and safetensors tables. Fix: convert the file, or, if you trust its author, "
        "set {key} = true in the config."
    )
    E015 = (
        "[CE015] {owner}: the files of name = {value!r} have checksum {found}, but the pipeline was saved with "
        "serialize = 'reference' and checksum {expected}. Accepted: the very same files. Fix: restore them, or "
        "save the pipeline again from the model that you want."
    )
    E016 = (
        "[CE016] {owner}: the saved encoder of {file} is for {found!r}, the config says {expected!r}. Accepted: a "
        "folder that this encoder wrote. Fix: load the pipeline with the config that it was saved with."
    )

    # docs and attributes
    E020 = (
        "[CE020] No vectors of the component {name!r} on this Doc; those of {present} are there. Accepted: a "
        "component that ran on it. Fix: nlp.add_pipe({example!r}, name={name!r}), then process the text again."
    )
    E021 = (
        "[CE021] No embedding component ran on this Doc, so '{key}' has nothing to read. Accepted: a Doc from a "
        "pipeline with one. Fix: nlp.add_pipe('static_embeddings'), 'elmo_embeddings' or 'bert_embeddings', then "
        "process the text again."
    )
    E022 = (
        "[CE022] The rows of {name!r} on this Doc can't be matched to its tokens: {reason}. Accepted: the Doc "
        "that was processed, or one whose tokens were merged or split since. Fix: run the component on this Doc, "
        "doc = nlp.get_pipe({name!r})(doc)."
    )
    E023 = (
        "[CE023] {owner} gave {found} for a Doc of {expected} tokens. Accepted: one row per token. Fix: use an "
        "encoder of type Model[List[Doc], List[Floats2d]]."
    )
    E024 = (
        "[CE024] {owner}: can't {combine} {widths}. Accepted: sources of one width. Fix: combine = 'concat', or "
        "other 'sources'."
    )
    E025 = (
        "[CE025] similarity: the vectors compared have widths {left} and {right}. Accepted: vectors of one component "
        "on both sides. Fix: name the component, similarity(other, name=…)."
    )

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
        "seed, sizes, softmax, batch_size, unroll_steps, vocab_size, init_from, held_out and eval_tokens; all else may "
        "change. Fix: set it back, or start in a new folder."
    )
    E045 = (
        "[CE045] {folder} holds no {file}, so this model can't predict words. Accepted: a folder that 'python -m spacy "
        "embed pretrain-elmo' wrote; models that others published come without {file}. Fix: name the folder model-best "
        "of a training, or put {file} back."
    )
    E046 = "[CE046] substitutes: {key} = {value!r} is {reason}. Accepted: {accepted}. Fix: {fix}."
