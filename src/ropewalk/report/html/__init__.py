"""The report as one HTML page, from result records alone.

markup      escapes everything and writes elements and tables
chart, heat a line chart as inline SVG; depth by length as a coloured table
subjects    the results of a page, checked to be comparable
measures    which estimates are drawn how, and in which words
summary, measured, extensions, provenance      the sections, one function each
page        puts them together and writes the file
"""

from __future__ import annotations

from ropewalk.report.html.page import html_page, write_page

__all__ = ["html_page", "write_page"]
