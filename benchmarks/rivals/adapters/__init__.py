"""One script a tool; the tool's own environment runs it.

No script has the name of its tool: it would hide the package that it imports.
"""
