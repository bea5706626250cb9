"""Classic tasks: predictions in a file become scores in the same records as everything else that is measured."""
