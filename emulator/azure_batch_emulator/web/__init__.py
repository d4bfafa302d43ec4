"""The HTTP side: routes, signatures, OData, headers and bodies; everything it knows of Batch it asks the engine."""
