"""The components that listen to an embedding component: spaCy tells it of them, and it sends them its rows."""

from __future__ import annotations

from typing import Any, Dict, List, cast

from thinc.api import Model

from spacy_ctx_embed.tok2vec.listener import Link, Upstream, find_link


class HasListeners:
    """Base of a component that others listen to. spaCy calls these methods by name, as it does those of its Tok2Vec.

    ``name`` is the component's; ``listener_map`` holds the listeners by the name of the component that they are in.
    """

    name: str
    listener_map: Dict[str, List[Model]]

    @property
    def listeners(self) -> List[Model]:
        """The listeners of all components that listen to this one."""
        return [node for nodes in self.listener_map.values() for node in nodes]

    @property
    def listening_components(self) -> List[str]:
        """Names of the components that listen to this one."""
        return list(self.listener_map)

    def add_listener(self, listener: Model, component_name: str) -> None:
        """Begin to serve a listener.

        :param listener: an ``EmbeddingListener.v1``.
        :param component_name: the component that it is in.
        """
        nodes = self.listener_map.setdefault(component_name, [])
        if not any(node is listener for node in nodes):
            nodes.append(listener)
        cast(Link, find_link(listener)).upstream = cast(Upstream, self)

    def remove_listener(self, listener: Model, component_name: str) -> bool:
        """Stop serving a listener.

        :param listener: the listener.
        :param component_name: the component that it is in.
        :return: whether it was served.
        """
        nodes = self.listener_map.get(component_name, [])
        kept = [node for node in nodes if node is not listener]
        if len(kept) == len(nodes):
            return False
        cast(Link, find_link(listener)).upstream = None
        self.listener_map[component_name] = kept
        if not kept:
            del self.listener_map[component_name]
        return True

    def find_listeners(self, component: Any) -> None:
        """Serve the listeners of a component that name this one; spaCy calls it for each later component.

        :param component: any component.
        """
        model = getattr(component, "model", None)
        if isinstance(model, Model):
            for node in model.walk():
                link = find_link(node)
                if link is not None and link.upstream_name == self.name:
                    self.add_listener(node, component.name)
