"""Pictures of graphs: Mermaid and Graphviz text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mgrad.expr import CAPTURED, CONSTANT, Expr
from mgrad.graph import Graph, short_type

__all__ = ["graphviz", "mermaid"]


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart, for a Markdown file or https://mermaid.live.

    Inputs are rounded, outputs end in a flag, constants are shown in their users.

    >>> import mgrad as mg
    >>> print(mermaid(mg.make_graph(lambda x: 2 * x)(3.0)))
    flowchart TD
      a(["a: f64[]"])
      b["multiply 2.0 · f64[]"]
      a --> b
      out0>"result"]
      b --> out0
    """

    def node(name: str, label: str, is_input: bool) -> str:
        label = _escaped(label)
        return f'{name}(["{label}"])' if is_input else f'{name}["{label}"]'

    lines = _chart(
        graph,
        node=node,
        result=lambda name, title: f'{name}>"{title}"]',
        arrow=lambda source, target: f"{source} --> {target}",
    )
    return "\n".join(["flowchart TD", *(f"  {line}" for line in lines)])


def graphviz(graph: Graph) -> str:
    """The graph in the DOT language of Graphviz.

    >>> import mgrad as mg
    >>> print(graphviz(mg.make_graph(lambda x: 2 * x)(3.0)))
    digraph {
      a [label="a: f64[]", shape=ellipse];
      b [label="multiply 2.0 · f64[]", shape=box];
      a -> b;
      out0 [label="result", shape=plaintext];
      b -> out0;
    }
    """

    def node(name: str, label: str, is_input: bool) -> str:
        label = label.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name} [label="{label}", shape={"ellipse" if is_input else "box"}];'

    lines = _chart(
        graph,
        node=node,
        result=lambda name, title: f'{name} [label="{title}", shape=plaintext];',
        arrow=lambda source, target: f"{source} -> {target};",
    )
    return "\n".join(["digraph {", *(f"  {line}" for line in lines), "}"])


def _chart(
    graph: Graph,
    node: Callable[[str, str, bool], str],
    result: Callable[[str, str], str],
    arrow: Callable[[str, str], str],
) -> Iterator[str]:
    """The lines of nodes, results and arrows in some notation."""
    names, inputs = graph.names(), frozenset(graph.inputs)
    known = {n: _identifier(name) for n, name in names.items()}
    for n, name in known.items():
        yield node(name, _label(n, names, inputs), n in inputs)
        for arg in _operands(n, inputs):
            if arg in known:
                yield arrow(known[arg], name)
    for i, y in enumerate(graph.outputs):
        yield result(f"out{i}", "result" if len(graph.outputs) == 1 else f"result {i}")
        if y in known:
            yield arrow(known[y], f"out{i}")


def _operands(node: Expr, inputs: frozenset[Expr]) -> tuple[Expr, ...]:
    return () if node in inputs else node.args


def _identifier(name: str) -> str:
    """Names that are words of Mermaid or DOT get an underscore."""
    return f"{name}_" if name in _RESERVED else name


_RESERVED = frozenset(
    "end graph node edge subgraph digraph strict style click o x".split()
)


def _label(node: Expr, names: dict[Expr, str], inputs: frozenset[Expr]) -> str:
    """The operation with its constants and parameters, and the type."""
    if node in inputs:
        return f"{names[node]}: {short_type(node)}"
    constants = [str(a.params[0]) for a in node.args if a.primitive is CONSTANT]
    params = [] if node.primitive is CAPTURED else [str(p) for p in node.params]
    words = " ".join([node.primitive.name, *constants, *params])
    return f"{words} · {short_type(node)}"


_ENTITIES = {"&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;", "#": "&num;"}


def _escaped(label: str) -> str:
    """Mermaid reads HTML entities inside quoted labels."""
    return "".join(_ENTITIES.get(c, c) for c in label)
