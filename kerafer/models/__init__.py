"""The networks, one paper a file. Importing this package registers them all."""

from kerafer.models import ean as ean
