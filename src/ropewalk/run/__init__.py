"""One run file becomes one folder: extend, train, measure, save."""
