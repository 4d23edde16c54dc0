"""Makes a fast tokenizer of a slow one by the conversions of transformers, and looks whether it cuts the same.

Enters: a tokenizer written in Python, which gives no character offsets. Leaves: a fast one, or none. A conversion is
trusted only where both give the same pieces for texts of many kinds and for text made of the vocabulary.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Optional

_TEXTS = (
    "The bank of the river was green. He paid $3.50 for 2 coffees, (she said) can't won't it's -- on 24/12/1998!",
    "Über allen Gipfeln ist Ruh; ça a coûté 5€… “naïve” señor Łódź İstanbul ﬁnd e\u0301",
    "银行在河边。東京で雨が降る 서울 الكتاب على الطاولة หนังสือ नमस्ते Привет, мир",
    "UPPER lower MiXeD   two  spaces\ttab\nline 😀👩‍👩‍👧 http://a.b/c?d=e#f @user #tag a" + "b" * 120,
)
_SHARE = 400  # pieces of the vocabulary to look at


def to_fast(slow: Any) -> Optional[Any]:
    """Convert a tokenizer.

    :param slow: a slow ``transformers`` tokenizer.
    :return: a fast one that cuts, frames and numbers as it does; ``None`` where no conversion gives that.
    """
    for converter in _converters(slow):
        try:
            fast = _wrapped(slow, converter(slow).converted())
            if _same(slow, fast):
                return fast
        except Exception:  # one made for another kind of tokenizer; the next may be the one
            continue
    return None


def _converters(slow: Any) -> Iterator[Any]:
    # That of its class or of one that it is derived from, then those of the two kinds that most families are of.
    from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS, BertConverter, SpmConverter

    for kind in type(slow).__mro__:
        name = kind.__name__.removesuffix("Legacy")
        if name in SLOW_TO_FAST_CONVERTERS:
            yield SLOW_TO_FAST_CONVERTERS[name]
    yield BertConverter
    yield SpmConverter


def _wrapped(slow: Any, back_end: Any) -> Any:
    # With the special pieces around a text as the slow one puts them; a converter has those of its own family.
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = set(slow.all_special_ids)
    text = next(i for i in range(len(slow)) if i not in special)
    framed = slow.build_inputs_with_special_tokens([text])
    types = slow.create_token_type_ids_from_sequences([text])
    names = {i: slow.convert_ids_to_tokens(i) for i in framed if i != text}
    template = [f"{names.get(i, '$A')}:{kind}" for i, kind in zip(framed, types)]
    back_end.post_processor = TemplateProcessing(
        single=template, special_tokens=[(name, i) for i, name in names.items()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=back_end,
        model_max_length=slow.model_max_length,
        model_input_names=slow.model_input_names,
        **slow.special_tokens_map,
    )


def _same(slow: Any, fast: Any) -> bool:
    numbered = slow.added_tokens_encoder.items()
    if len(slow) != len(fast) or any(fast.convert_tokens_to_ids(piece) != i for piece, i in numbered):
        return False
    texts = [*_TEXTS, *(text.lower() for text in _TEXTS), *_of_vocabulary(slow)]
    return all(slow(text)["input_ids"] == fast(text)["input_ids"] for text in texts)


def _of_vocabulary(slow: Any) -> List[str]:
    # Text that the vocabulary knows, whatever language it is of: its pieces as words, and one behind the other.
    special = set(slow.all_special_tokens)
    pieces = slow.convert_ids_to_tokens(list(range(0, len(slow), max(len(slow) // _SHARE, 1))))
    words = [slow.convert_tokens_to_string([piece]).strip() for piece in pieces if piece not in special]
    return [" ".join(words), "".join(words), slow.convert_tokens_to_string(pieces)]
