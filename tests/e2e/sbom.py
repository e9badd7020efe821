"""Whether a file is CycloneDX 1.5, by the standard's own schema."""

import importlib.util
import json
import pathlib
import sys

import jsonschema_rs

[package] = importlib.util.find_spec("cyclonedx").submodule_search_locations
SCHEMAS = pathlib.Path(package, "schema", "_res")


def schema(name):
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


validator = jsonschema_rs.validator_for(
    schema("bom-1.5.SNAPSHOT.schema.json"),
    retriever=lambda uri: schema(uri.rsplit("/", 1)[-1]),
)
bom = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(bom)]
if errors:
    sys.exit("\n".join(errors))
# It sees what is wrong, also by the schemas that this one names.
for wrong in ({"type": "lib"}, {"licenses": [{"license": {"id": "Apache"}}]}):
    if validator.is_valid({**bom, "components": [{**bom["components"][0], **wrong}]}):
        sys.exit(f"the schema takes {wrong}")
print("valid")
