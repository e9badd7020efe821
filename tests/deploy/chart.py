"""Renders, lints and checks the chart with Helm's own engine.

Reads one JSON request from standard input, {"chart", "values", ...}, and writes one
JSON answer. `values` is YAML text, read as Helm reads it.
  "renders"  the same of all "cases"
  "render"   objects of every template, hooks and notes apart; or the engine's error
  "lint"     what `helm lint --strict` finds
  "validate" built-in kinds among "objects" held against the API server's schemas
  "files"    {path: text} of YAML files, as objects
"""

import json
import sys

import yaml


def render(request):
    import helm_python as helm

    values = helm.values_from_yaml(request["values"])
    with helm.Chart.load(request["chart"]) as chart:
        try:
            rendered = chart.render(
                values, name=request["release"], namespace=request["namespace"], is_install=True
            )
        except helm.HelmError as error:
            return {"error": str(error)}
    objects, hooks, notes, text = [], [], "", []
    for path in sorted(rendered):
        if path.endswith("NOTES.txt"):
            notes = rendered[path] if path.count("/") == 2 else notes
            continue
        if not rendered[path].strip():
            continue
        text.append(f"# {path}\n{rendered[path].strip()}\n")
        for value in yaml.safe_load_all(rendered[path]):
            if value:
                annotations = value["metadata"].get("annotations", {})
                (hooks if "helm.sh/hook" in annotations else objects).append(value)
    return {"objects": objects, "hooks": hooks, "notes": notes, "text": "---\n".join(text)}


def lint(request):
    import helm_python as helm

    found = {}
    for name, text in request["cases"].items():
        values = helm.values_from_yaml(text)
        report = helm.lint(request["chart"], values, strict=True, namespace=request["namespace"])
        # 1 is information: that there is no icon.
        said = [message["error"] for message in report["messages"] if message["severity"] > 1]
        found[name] = said + report["errors"]
    return found


def validate(request):
    import kubernetes_validate

    found, checked = [], 0
    for version in request["kubernetes"]:
        for value in request["objects"]:
            name = f"{version}: {value['kind']}/{value['metadata']['name']}"
            try:
                kubernetes_validate.validate(value, version, strict=True)
                checked += 1
            except kubernetes_validate.SchemaNotFoundError:
                # A kind of somebody else's.
                continue
            except kubernetes_validate.ValidationError as error:
                found.append(f"{name}: {error.message[:300]}")
    return {"found": found, "checked": checked}


def files(request):
    return {path: list(yaml.safe_load_all(text)) for path, text in request["texts"].items()}


def renders(request):
    return {name: render({**request, "values": values}) for name, values in request["cases"].items()}


VERBS = {"render": render, "renders": renders, "lint": lint, "validate": validate, "files": files}
asked = json.load(sys.stdin)
json.dump(VERBS[asked["verb"]](asked), sys.stdout)
