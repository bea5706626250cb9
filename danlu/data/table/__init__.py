"""Tables for classic machine learning: profile, split, fit the usual steps on the train side, apply them again.

    frame.py      a file of any table format → a Polars frame
    profile.py    what is in each column, as JSON and as a page
    schema.py     what a table must look like, checked with pandera
    split.py      train, validation and test rows
    settings.py   what can be chosen
    pipeline.py   missing values, outliers, scaling, encoding: a scikit-learn pipeline
    fitted.py     the folder that `fit` writes and `apply` reads

All that is learnt (which columns are used, medians, fences, categories, means) is learnt on the train rows alone.
"""
