"""The operations as methods, one module per type of resource.

The groups only name arguments and results; `operations` defines the operations, `caller` calls them.
Bodies are plain JSON mappings under the REST names, in and out. All methods take the options of `requests.CallOptions`
as keywords, those with conditional headers also `if_match` and its kin, and raise `BatchError`s.
"""
