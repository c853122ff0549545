"""Reads what operators deploy, checks it, and prints it as JSON for the tests: read.py PROJECT.

Manifests are put together as kustomize does it, as far as ours go (resources, namespace, images, generated ConfigMaps,
strategic merge patches without directives), and each is checked strictly by the schemas of the oldest Kubernetes that has
`preStop.sleep`, and of the newest that is known. Anything of kustomize that is not done here is an error. So is a key that
compose.yaml cannot have.
"""

import json
import os
import re
import sys
from pathlib import Path

import compose_spec
import kubernetes_validate
import yaml

VERSIONS = ["1.30", kubernetes_validate.latest_version()]
KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "patches"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def merged(old, new):
    """A strategic merge: maps by key, lists of named things by name, anything else replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list) and all("name" in item for item in old + new):
        by_name = {item["name"]: item for item in old}
        for item in new:
            by_name[item["name"]] = merged(by_name.get(item["name"], {}), item)
        return list(by_name.values())
    return new


def same(one, other):
    return (one["kind"], one["metadata"]["name"]) == (other["kind"], other["metadata"]["name"])


def rendered(folder):
    """The manifests of a folder with a kustomization."""
    (wish,) = documents(folder / "kustomization.yaml")
    unknown = set(wish) - KNOWN
    assert not unknown, f"{folder}: this script does not know {sorted(unknown)}"
    found = []
    named = {"kustomization.yaml"}
    for name in wish["resources"]:
        path = folder / name
        if path.is_dir():
            found += rendered(path)
        else:
            named.add(name)
            found += documents(path)
    for generator in wish.get("configMapGenerator", []):
        named.update(generator["files"])
        data = {name: (folder / name).read_text() for name in generator["files"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data})
    for patch in wish.get("patches", []):
        named.add(patch["path"])
        for change in documents(folder / patch["path"]):
            (target,) = [at for at, document in enumerate(found) if same(document, change)]
            found[target] = merged(found[target], change)
    for document in found:
        if "namespace" in wish and document["kind"] != "Namespace":
            document["metadata"]["namespace"] = wish["namespace"]
    for image in wish.get("images", []):
        used = 0
        for document in found:
            for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
                    used += 1
        assert used, f"{folder}: no container has the image {image['name']}"
    left = {path.name for path in folder.iterdir() if path.is_file()} - named
    assert not left, f"{folder}: nothing names {sorted(left)}"
    return found


def checked(manifests):
    for manifest in manifests:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                sys.exit(f"{manifest['kind']} {manifest['metadata']['name']}, {where}, Kubernetes {version}: {error.message}")
    return manifests


def compose(path):
    """compose.yaml with variables as a shell would have them."""

    def variable(found):
        name, default = found[1], found[2]
        return os.environ[name] if name in os.environ else (default or "")

    text = re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", variable, path.read_text())
    try:
        spec = compose_spec.PyCompose.from_yaml(text)
    except Exception as error:  # its own class is not exported
        sys.exit(f"{path.name}: {error}")
    spec.validate()
    return yaml.safe_load(text)


project = Path(sys.argv[1])
kubernetes = project / "deploy/kubernetes"
print(
    json.dumps(
        {
            "base": checked(rendered(kubernetes / "base")),
            "example": checked(rendered(kubernetes / "overlays/example")),
            "compose": compose(project / "compose.yaml"),
        }
    )
)
