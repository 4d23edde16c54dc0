"""Writes the pages of the reference from the code: python docs/generate.py. A test says when they are out of date.

Enters: signatures and docstrings of what is registered, factories' defaults, message templates, and the commands.
Leaves: configuration.md, errors.md and commands.md, and the same in Chinese, whose texts are in reference.json.
"""

from __future__ import annotations

import inspect
import json
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh-CN")
_TEXTS: Dict[str, Any] = json.loads((FOLDER / "reference.json").read_text(encoding="utf8"))
_OTHER = {"en": ("简体中文", ".zh-CN"), "zh-CN": ("English", "")}
_WORDS = {
    "en": {"key": "key", "default": "default", "values": "values", "required": "required"},
    "zh-CN": {"key": "键", "default": "默认值", "values": "取值", "required": "必填"},
}
_FACTORIES = ("static_embeddings", "elmo_embeddings", "bert_embeddings", "stacked_embeddings")
_BLANKS = re.compile(r"\s+")


def main() -> None:
    """Write all pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf8")


def pages() -> Dict[str, str]:
    """Make all pages.

    :return: file name -> Markdown.
    """
    makers: Dict[str, Callable[[str], str]] = {
        "configuration": configuration,
        "errors": errors,
        "commands": commands,
    }
    found = {}
    for name, make in makers.items():
        for language in LANGUAGES:
            label, suffix = _OTHER[language]
            title, _, body = make(language).partition("\n")
            own = "" if language == "en" else ".zh-CN"
            found[f"{name}{own}.md"] = f"{title}\n\n[{label}]({name}{suffix}.md)\n{body.rstrip()}\n"
    return found


def configuration(language: str) -> str:
    """Every setting of every component and every registered architecture.

    :param language: "en" or "zh-CN".
    :return: the page.
    """
    from spacy.language import Language

    from spacy_ctx_embed.pipeline import factories

    text = _text(language, "configuration")
    parts = [text["head"]]
    defaults = {name: Language.get_factory_meta(name).default_config for name in _FACTORIES}
    shared = [key for key in defaults["bert_embeddings"] if key != "model"]
    docs = parameters(factories.EmbeddingComponent)
    parts += ["", f"## {text['component']}", "", text["component_note"], ""]
    parts += _table(language, "component", [(key, defaults["bert_embeddings"][key], docs[key]) for key in shared])
    only = [key for key in defaults["stacked_embeddings"] if key not in shared]
    docs = parameters(factories.make_stacked_embeddings)
    parts += ["", f"## {text['stacked']}", ""]
    parts += _table(
        language, "stacked_embeddings", [(key, defaults["stacked_embeddings"][key], docs[key]) for key in only]
    )
    names = {meta["model"]["@architectures"]: meta["model"]["name"] for meta in defaults.values() if "model" in meta}
    for name, make in architectures():
        short = name.removeprefix("spacy_ctx_embed.")
        docs = parameters(make)
        rows = [
            (key, names.get(name, item.default) if key == "name" else item.default, docs[key])
            for key, item in inspect.signature(make).parameters.items()
        ]
        parts += ["", f"## {short}", "", text["architectures"][short], ""]
        parts += _table(language, short, rows)
    return "\n".join([*parts, "", text["foot"]])


def errors(language: str) -> str:
    """Every code of an error or a warning: what is wrong, what is accepted, what to do.

    :param language: "en" or "zh-CN".
    :return: the page.
    """
    text = _text(language, "errors")
    head = f"| {text['code']} | {text['wrong']} | {text['accepted']} | {text['fix']} |"
    parts = [text["head"]]
    for title, codes in message_groups():
        parts += ["", f"## {text['groups'].get(title, title.capitalize())}", ""]
        parts += [head, "|---|---|---|---|"]
        for code, template in codes:
            wrong, accepted, fix = (_cell(part) for part in split_message(template))
            cause = _TEXTS["messages"][language][code]
            parts.append(f"| <a id='{code.lower()}'></a>{code} | {cause} <br> *{wrong}* | {accepted} | {fix} |")
    return "\n".join(parts)


def commands(language: str) -> str:
    """Every command with its arguments and options.

    :param language: "en" or "zh-CN".
    :return: the page.
    """
    import typer.main

    from spacy_ctx_embed.cli.app import embed_cli

    text = _text(language, "commands")
    parts = [text["head"]]
    group: Any = typer.main.get_command(embed_cli)
    for name, command in sorted(group.commands.items()):
        usage = " ".join(_argument(item) for item in command.params if item.param_type_name == "argument")
        parts += ["", f"## {name}", ""]
        if language != "en":
            parts += [_TEXTS["commands"][name], ""]
        parts += [_BLANKS.sub(" ", command.help).strip(), "", "```text", f"python -m spacy embed {name} {usage}", "```"]
        parts += ["", f"| {text['option']} | {text['default']} | {text['meaning']} |", "|---|---|---|"]
        for item in command.params:
            if item.name != "help" and not getattr(item, "hidden", False):
                is_argument = item.param_type_name == "argument"
                shown = str(item.metavar or item.name.upper()) if is_argument else ", ".join(item.opts)
                default = "" if item.required or item.default in (None, []) or callable(item.default) else item.default
                default = getattr(default, "value", default)
                parts.append(f"| `{shown}` | {f'`{default}`' if default != '' else ''} | {_cell(item.help or '')} |")
    return "\n".join(parts)


def architectures() -> Iterator[Tuple[str, Callable[..., Any]]]:
    """Find what this package registers.

    :yields: registered name and function, encoders first.
    """
    groups = ("spacy_architectures", "spacy_vectors")
    mine = [e for group in groups for e in entry_points(group=group) if e.name.startswith("spacy_ctx_embed.")]
    order = list(_TEXTS["pages"]["en"]["configuration"]["architectures"])
    for entry in sorted(mine, key=lambda e: order.index(e.name.removeprefix("spacy_ctx_embed."))):
        yield entry.name, entry.load()


def message_groups() -> List[Tuple[str, List[Tuple[str, str]]]]:
    """Read the templates by the groups that comments in their file name.

    :return: title of each group, and its codes with their templates, in order of the codes.
    """
    from spacy_ctx_embed.errors import corpus_messages, messages, training_messages, warnings

    found: Dict[str, List[Tuple[str, str]]] = {}
    errors = [("E", module, messages.Errors) for module in (messages, training_messages, corpus_messages)]
    for letter, module, owner in (*errors, ("W", warnings, warnings.Warnings)):
        title = ""
        for line in inspect.getsource(module).splitlines():
            comment = re.fullmatch(r"    # ([^:]+)(?::.*)?", line)
            key = re.match(rf"    ({letter}\d+) = ", line)
            if comment:
                title = comment[1] if letter == "E" else f"warnings: {comment[1]}"
            elif key:
                found.setdefault(title, []).append((f"C{key[1]}", getattr(owner, key[1])))
    return sorted(((title, sorted(codes)) for title, codes in found.items()), key=lambda item: item[1][0][0])


def split_message(template: str) -> Tuple[str, str, str]:
    """Cut a template into its parts.

    :param template: of an error or a warning.
    :return: what is wrong, what is accepted, and the fix.
    """
    found = re.fullmatch(r"\[C[EW]\d+\] (.*?) ?Accepted: (.*?) ?Fix: (.*)", template, flags=re.DOTALL)
    assert found is not None, template
    return found[1], found[2], found[3]


def parameters(owner: Any) -> Dict[str, str]:
    """Read what a docstring says of parameters.

    :param owner: a function or class.
    :return: text by name.
    """
    doc = inspect.getdoc(owner) or ""
    found = re.findall(r"^:param (\w+): (.*(?:\n    .*)*)", doc, flags=re.MULTILINE)
    return {name: _BLANKS.sub(" ", text).strip() for name, text in found}


def _text(language: str, page: str) -> Dict[str, Any]:
    text: Dict[str, Any] = _TEXTS["pages"][language][page]
    return text


def _table(language: str, section: str, rows: List[Tuple[str, Any, str]]) -> List[str]:
    words = _WORDS[language]
    lines = [f"| {words['key']} | {words['default']} | {words['values']} |", "|---|---|---|"]
    for key, default, text in rows:
        shown = words["required"] if default is inspect.Parameter.empty else f"`{json.dumps(default)}`"
        if language != "en":
            text = _TEXTS["settings"][section][key]
        lines.append(f"| `{key}` | {shown} | {_markdown(text)} |")
    return lines


def _markdown(text: str) -> str:
    # Of a docstring: no full stop, and code between single backticks.
    text = re.sub(r":(?:mod|data|class|func):`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    return text.rstrip(".").replace("|", "\\|")


def _argument(item: Any) -> str:
    name = str(item.metavar or item.name.upper())
    return name if item.required or name.startswith("[") else f"[{name}]"


def _cell(text: str) -> str:
    # A template's placeholders as they are, in code; nothing in it may end the cell or begin a tag.
    text = _BLANKS.sub(" ", text).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"\{(\w+)[^}]*\}", r"`{\1}`", text).rstrip(".")


if __name__ == "__main__":
    main()
