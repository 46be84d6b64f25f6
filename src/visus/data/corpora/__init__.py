"""One loader per real data set's layout on disk, each with the writer of that layout.

Text sets return a source with the fields `text` and `target`, image sets an `ImageTable` (`image`, `row`,
`target`): the same fields as the generators of `visus.data.worlds`, so a method cannot tell them apart.
"""
