"""Server-side apply: who manages which field of an object, and what applying a configuration makes of it.

Everything here is pure. The reading order:

    fieldset.py   sets of fields in FieldsV1 form, and their algebra
    paths.py      one step of a path: its FieldsV1 key and its text in messages
    shape.py      what of an object is one field: structs, maps, lists with keys, sets, atoms
    structural.py the same from a CustomResourceDefinition's schema
    extract.py    the fields an object has
    compare.py    the fields that differ between two objects
    merge.py      a configuration merged into a live object
    remove.py     an object without some fields
    check.py      whether a configuration fits its kind's shape
    entries.py    metadata.managedFields <-> Managers
    ownership.py  what an update or an apply does to the Managers
    conflicts.py  the refusal
    lastapplied.py  the way from client-side apply
    times.py      writes that change nothing but a time

Theory: kubernetes-sigs/structured-merge-diff and KEP-555.
"""
