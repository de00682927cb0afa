"""Two views of a shop in Zope, which count for themselves what the business asks for."""
