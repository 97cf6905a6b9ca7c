"""A course on transformers that grades itself: see README.md."""

import sys

# jsonschema, which reads notebooks, would build a grammar of web addresses, in a second, that nothing here asks for
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
