"""A source whose files are as plain as can be: a header, and the mapping of its columns."""

from __future__ import annotations

HEADER = b"Id,Name,Street,City,Phone\r\n"
MAPPING = """key: [{column: Id}]
fields:
  company: Name
  address1: Street
  city: City
  phone: Phone
"""
