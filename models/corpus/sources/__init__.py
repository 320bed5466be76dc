"""One module a source. Each has ``read(packages)``: the texts in a folder of packages, by language.

A text is a tuple of lines. One line: a sentence or paragraph that stands alone. Several: paragraphs that follow each other, or,
under a language pair such as "ja-en", a sentence and its translation.
"""
