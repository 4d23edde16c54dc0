"""One message template per mistake a user can make.

Each template names what is wrong with the value received, what is accepted, and after ``Fix:`` what to do.
Codes are stable, so that a message can be searched for; a retired code is not used again.
"""

from spacy_ctx_embed.errors.corpus_messages import CorpusErrors
from spacy_ctx_embed.errors.training_messages import TrainingErrors


class Errors(TrainingErrors, CorpusErrors):
    """Message templates; fill with ``str.format``."""

    # settings
    E001 = (
        "[CE001] {owner}: the setting '{key}' is {value!r}. Accepted: {accepted}. Fix: change '{key}' in the config "
        "of this component."
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
    E006 = (
        "[CE006] {owner}: the setting '{key}', here {value!r}, belongs to {where}. Accepted: each setting on its own "
        "level. Fix: nlp.add_pipe(..., {fix}), or write it below {section} in a config file."
    )
    E007 = (
        "[CE007] Thinc's active ops are {value}, so that spaCy runs on Apple's GPU (MPS), on which ELMo and BERT are "
        "tested nowhere. Accepted: the CPU, or a CUDA GPU through CuPy. Fix: leave out spacy.prefer_gpu() on this "
        "machine, or call spacy.require_cpu() before the pipeline is made."
    )
    E008 = (
        "[CE008] {owner}: nlp.pipe with n_process > 1 while this component is on a GPU. A worker can't use the GPU of "
        "its parent, and a model for each worker would not be faster. Accepted: n_process = 1 on a GPU, or several "
        "processes on the CPU. Fix: nlp.pipe(texts, n_process=1, batch_size=…), or call spacy.require_cpu() before the "
        "pipeline is made."
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
    E017 = (
        "[CE017] {owner}: the vectors of name = {value!r} have {found} columns now, and had {before} when this encoder "
        "was first used. Accepted: vectors of one width, which what reads the rows was built for. Fix: give the vocab "
        "its vectors before the pipeline is used, or remove the component and add it again."
    )
    E018 = (
        "[CE018] {file}: {parts} can't be loaded without Python code that the repository brings along ({code}), and "
        "that code would run on this machine. Accepted: a model that transformers knows by itself, or code that you "
        "have read and trust. Fix: if you trust its author, set {settings} under [components.NAME.model] in the config."
    )
    E019 = (
        "[CE019] {owner}: can't find the adapter = {value!r}. Places tried, in order:\n{tried}\nAccepted: the path of "
        "a folder with adapter_config.json, 'package:NAME/sub/path', 'hub:org/repo' or a bare hub id. Fix: {fix}"
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
    E026 = (
        "[CE026] {owner}: correction = {value!r} {reason}. Accepted: a component whose correction was fitted on two or "
        "more Docs with vectors. Fix: nlp.initialize(lambda: examples), 'spacy train' or 'python -m spacy embed "
        "fit-correction'; load a pipeline that was saved so; or set correction = null."
    )
    E028 = (
        "[CE028] Spans by doc_pooling = 'model' need a dense layer of the model of {name!r}, which is not loaded here. "
        "Accepted: a process with that component and model. Fix: load the pipeline, or read the Doc's own vector."
    )
    E029 = (
        "[CE029] {owner}: doc_pooling = 'sif' {reason}. Accepted: a component that was fitted on two or more training "
        "Docs with vectors. Fix: nlp.initialize(lambda: examples), 'spacy train', or load a pipeline that was saved so."
    )

    # listeners
    E060 = (
        "[CE060] EmbeddingListener: upstream = {upstream!r} is no embedding component before this one. Accepted: the "
        "name of a static_embeddings, elmo_embeddings, bert_embeddings or stacked_embeddings component that stands "
        "earlier in nlp.pipeline. Fix: correct 'upstream', or add the component before: nlp.add_pipe(…, "
        "name={upstream!r}, first=True)."
    )
    E061 = (
        "[CE061] EmbeddingListener: in this training step the component {upstream!r} neither learnt nor annotated, so "
        "there are no rows to train on. Accepted: an upstream that is updated, or, where it is in "
        "training.frozen_components, that annotates. Fix: add {upstream!r} to training.annotating_components (a frozen "
        "encoder needs no place in frozen_components: trainable = false freezes it); for nlp.rehearse, run it on the "
        "Docs first."
    )
    E062 = (
        "[CE062] EmbeddingListener: the width of {upstream!r} is not known when the pipeline is initialised. Accepted: "
        "an upstream with an encoder of its own, or width = … in the config. Fix: set 'width' of the listener."
    )
    E063 = (
        "[CE063] EmbeddingListener: the rows of {upstream!r} have {found} columns, the listener has width = "
        "{expected}. Accepted: the same width. Fix: set width = null or width = {found}, then initialize (train) again."
    )
    E064 = (
        "[CE064] EmbeddingListener: no rows of the component {upstream!r} on this Doc. Accepted: a Doc on which it ran "
        "before. Fix: keep {upstream!r} in the pipeline, enabled and before this component; in training, where this "
        "component is frozen or annotating, add {upstream!r} to training.annotating_components."
    )
    E065 = (
        "[CE065] StackedTok2Vec: {key} is {found}. Accepted: {accepted}. Fix: change '{key}' in the config of the "
        "component that it belongs to."
    )

    # transformer output
    E070 = (
        "[CE070] {owner}: no output of the transformer component, upstream = {upstream!r}: {reason}. Accepted: Docs "
        "that a 'transformer' or 'curated_transformer' component of that name has processed before, or in training its "
        "batch. Fix: {fix}."
    )
    E071 = (
        "[CE071] {owner}: can't tell the width of the rows before upstream = {upstream!r} has run: {reason}. Accepted: "
        "width as a number, or null in the tok2vec slot of a component that comes after a 'transformer' "
        "(spacy-transformers) of that name; with layer_mix = 'concat', layers as a list. Fix: {fix}."
    )
    E072 = (
        "[CE072] {owner}: the output of upstream = {upstream!r} does not fit: {reason}. Accepted: its output for these "
        "very Docs, with the tokens that they have now. Fix: run {upstream!r} on the Docs after whatever merges or "
        "splits tokens; in training, give all components the same batch in the same order."
    )
    E073 = (
        "[CE073] {owner}: layers = {layers!r} with layer_mix = {layer_mix!r} needs more than the last layer, and "
        "upstream = {upstream!r} gives only that. Accepted: layers = [-1], or layer_mix = 'last' with layers = 'all'; "
        "or an upstream that gives all layers. Fix: set {config_key} in the config of {upstream!r}."
    )
    E074 = (
        "[CE074] {owner}: layers = {layers!r} with layer_mix = {layer_mix!r} can't train upstream = {upstream!r}, as "
        "spacy-transformers takes back the gradient of its last layer only. Accepted: the last layer alone, or an "
        "upstream that is not trained from here. Fix: set grad_factor = 0, or freeze {upstream!r} and add it to "
        "training.annotating_components, or use a curated_transformer."
    )

    # cache
    E050 = (
        "[CE050] cache_dir = {value!r} is {reason}. Accepted: the path of a folder, which is made where it is missing, "
        "or null. Fix: change 'cache_dir' in the config of this component."
    )
    E051 = (
        "[CE051] cache_dir: {folder} can't be {what} ({reason}). Accepted: a folder on a local disk that this process "
        "may write, or one with a cache in it that it may read. Fix: change its permissions, free some space, or set "
        "'cache_dir' to another folder."
    )
    E052 = (
        "[CE052] cache_dir: {folder} holds something else than a cache: {found}. Accepted: a new or empty folder, or "
        "one that this package filled. Fix: set 'cache_dir' to a folder of its own."
    )
    E053 = (
        "[CE053] cache_dir: the cache in {folder} can't be used: {reason}. Accepted: files as this version wrote them. "
        "Fix: remove the folder when no process uses it; it is filled again."
    )

    # transformers as encoders
    E090 = (
        "[CE090] {owner}: name = {value!r} is a {model}, and no text encoder: {reason}. Accepted: a model that gives a "
        "state for each word piece of a text, or that has such a part. Fix: set 'name' to the text model, such as "
        "'bert-base-uncased', or to the text half of this one, saved by itself."
    )
    E091 = (
        "[CE091] {owner}: name = {value!r} is a {model}, whose layers are of these widths: {widths}. So layers = "
        "{layers!r} with layer_mix = {layer_mix!r} give no row for each piece. Accepted: layers of one width, with one "
        "state for each word piece. Fix: {fix}."
    )
    E092 = (
        "[CE092] {owner}: name = {value!r} is a {model} that gives the same text other states each time. Accepted: a "
        "model whose states are a function of the text. Fix: switch off what is random in it, by 'transformer_config' "
        "in the config, or choose another model."
    )
    E093 = (
        "[CE093] {owner}: name = {value!r}, a {model}, failed on {what} ({reason}). Accepted: word pieces that it has "
        "rows for, in windows that it can read. Fix: set 'window' in the config to the number of pieces that the model "
        "reads at once, or choose another model."
    )
    E094 = (
        "[CE094] {owner}: the encoder of this component, name = {value!r}, failed ({reason}). Accepted: a model that "
        "runs on this device, in the memory there is. Fix: see the cause above; try a smaller 'max_batch_tokens' in "
        "[components.{owner}.model] where memory ran out, or another 'name'."
    )
    E095 = (
        "[CE095] {owner}: adapter = {value!r} does not go with name = {name!r}, a {model}: {reason}. Accepted: an "
        "adapter that was trained on this model; of this one, adapter_config.json says {base!r}. Fix: set 'name' to "
        "the model that it was trained on, or 'adapter' to one of this model."
    )
    E096 = "[CE096] {owner}: adapter = {value!r} {reason}. Accepted: {accepted}. Fix: {fix}."

    # commands
    E080 = (
        "[CE080] {owner}: the config has no embedding component to probe ({reason}). Accepted: a bert_embeddings or "
        "elmo_embeddings component with a section [components.NAME.model] of ELMo or BERT, which have several layers. "
        "Fix: add one, with a task component that listens to it, as in configs/ner_bert.cfg; or name it by "
        "--embeddings."
    )
    E081 = (
        "[CE081] {owner}: the component {component!r} can't be probed, as it {reason}. Accepted: a component that is "
        "trained and listens to an embedding component: {accepted}. Fix: name one of those by --component, or give it "
        "an EmbeddingListener.v1 as its tok2vec, as in configs/ner_bert.cfg."
    )
    E082 = (
        "[CE082] {owner}: {path}, to {what}, gives no examples. Accepted: a .spacy file or a folder of them with at "
        "least one text. Fix: make one with 'python -m spacy convert', and look at the section [corpora] of the config."
    )
    E083 = (
        "[CE083] {owner}: {component!r} gives no score {score!r} on this data. Accepted: {accepted}. Fix: choose one "
        "of those by --score, or annotate the evaluation data."
    )
    E086 = "[CE086] {owner}: {key} = {value!r} {reason}. Accepted: {accepted}. Fix: {fix}."
