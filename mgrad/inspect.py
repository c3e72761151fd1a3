"""Pictures of graphs: Mermaid and Graphviz text."""

from __future__ import annotations

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
    names, inputs = graph.names(), frozenset(graph.inputs)
    lines = ["flowchart TD"]
    for node in names:
        name, label = names[node], _escaped(_label(node, names, inputs))
        shape = f'(["{label}"])' if node in inputs else f'["{label}"]'
        lines.append(f"  {_identifier(name)}{shape}")
        lines += [
            f"  {_identifier(names[arg])} --> {_identifier(name)}"
            for arg in _operands(node, inputs)
            if arg in names
        ]
    for i, y in enumerate(graph.outputs):
        title = "result" if len(graph.outputs) == 1 else f"result {i}"
        lines.append(f'  out{i}>"{title}"]')
        if y in names:
            lines.append(f"  {_identifier(names[y])} --> out{i}")
    return "\n".join(lines)


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
    names, inputs = graph.names(), frozenset(graph.inputs)
    lines = ["digraph {"]
    for node in names:
        label = _label(node, names, inputs).replace("\\", "\\\\").replace('"', '\\"')
        shape = "ellipse" if node in inputs else "box"
        lines.append(f'  {_identifier(names[node])} [label="{label}", shape={shape}];')
        lines += [
            f"  {_identifier(names[arg])} -> {_identifier(names[node])};"
            for arg in _operands(node, inputs)
            if arg in names
        ]
    for i, y in enumerate(graph.outputs):
        title = "result" if len(graph.outputs) == 1 else f"result {i}"
        lines.append(f'  out{i} [label="{title}", shape=plaintext];')
        if y in names:
            lines.append(f"  {_identifier(names[y])} -> out{i};")
    return "\n".join([*lines, "}"])


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
