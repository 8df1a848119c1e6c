"""The `kerafer` command: parsing and printing only. The work is done by the package, which never imports this."""
