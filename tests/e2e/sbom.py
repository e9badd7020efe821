"""Whether a file is CycloneDX 1.5, by the standard's own schema, strictly."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as bom:
    text = bom.read()
validator = JsonStrictValidator(SchemaVersion.V1_5)
error = validator.validate_str(text)
if error:
    sys.exit(f"{sys.argv[1]}: {error}")
# It sees what is wrong.
if not validator.validate_str(text.replace('"type": "library"', '"type": "lib"', 1)):
    sys.exit("the validator takes anything")
print("valid")
