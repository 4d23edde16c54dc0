"""Commands that draw a page."""
