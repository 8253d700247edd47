#!/usr/bin/env python3
"""Asks the reference C2PA implementation (PyPI: c2pa-python) whether a file is valid and trusted under a root.

    python reference_reader.py FILE ROOT_PEM

Prints `valid` and exits 0, or prints the reasons and exits 1.
"""

import json
import sys

import c2pa


def failures(results):
    """Every failure code of the active manifest and of its ingredients."""
    found = [status["code"] for status in results.get("activeManifest", {}).get("failure", [])]
    for delta in results.get("ingredientDeltas", []):
        found += [status["code"] for status in delta["validationDeltas"]["failure"]]
    return found


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    file, root = sys.argv[1:]
    with open(root, encoding="ascii") as pem:
        settings = {"trust": {"trust_anchors": pem.read()}, "verify": {"verify_trust": True}}
    try:
        with open(file, "rb") as stream, c2pa.Context.from_dict(settings) as context:
            with c2pa.Reader("video/mp4", stream, context=context) as reader:
                store = json.loads(reader.json())
    except c2pa.C2paError as error:
        print(f"not valid: {error}")
        return 1
    reasons = failures(store.get("validation_results", {}))
    state = store.get("validation_state")
    if state == "Trusted" and not reasons:
        print("valid")
        return 0
    print(f"not valid: state {state}", *reasons, sep="\n  ")
    return 1


if __name__ == "__main__":
    sys.exit(main())
