"""The texts of a corpus, one after another, out of files of many kinds."""
